"""Small programs of the trainer, talked to as child processes."""

import json
import sys
from collections.abc import Sequence

import pytest

from finetune_operator.exceptions import (
    DatasetInvalidError,
    FineTuneError,
    InvalidManifestError,
    ModelUnreadableError,
    OutputConflictError,
    StorageFullError,
)
from finetune_operator.local.children import converse, module_command
from finetune_trainer.events import Event, PhaseEvent, WarningEvent, format_event
from finetune_trainer.exit_codes import ExitCode


def program(source: str) -> tuple[str, ...]:
    # without site packages: a Python that starts in 20 ms
    return (sys.executable, "-ISc", source)


def failure(code: int, message: str) -> str:
    line = f"@finetune {json.dumps({'event': 'failure', 'code': code, 'message': message})}"
    return f"print({line!r}); raise SystemExit({code})"


def heard(command: Sequence[str], request: str = "") -> list[Event]:
    events: list[Event] = []
    converse(command, request, events.append)
    return events


def test_the_request_goes_in_and_events_come_out() -> None:
    event = format_event(PhaseEvent(phase="data", message="reading"))
    source = f"import sys; print('noise'); print(sys.stdin.read().replace('ASK', {event!r}))"
    assert heard(program(source), "ASK") == [PhaseEvent(phase="data", message="reading")]


def test_a_child_that_never_reads_blocks_nobody() -> None:
    assert heard(program("print('nothing')"), "x" * 1_000_000) == []


def test_much_on_standard_error_blocks_nobody() -> None:
    assert heard(program("import sys; sys.stderr.write('x' * 1_000_000)")) == []


def test_output_that_is_no_text_is_passed_over() -> None:
    event = format_event(WarningEvent(message="careful"))
    source = f"import sys; sys.stdout.buffer.write(b'\\xff\\xfe\\n' + {event.encode()!r} + b'\\n')"
    assert heard(program(source)) == [WarningEvent(message="careful")]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param(ExitCode.CONFIGURATION, InvalidManifestError, id="configuration"),
        pytest.param(ExitCode.DATA, DatasetInvalidError, id="data"),
        pytest.param(ExitCode.MODEL, ModelUnreadableError, id="model"),
        pytest.param(ExitCode.OUTPUT_CONFLICT, OutputConflictError, id="output"),
        pytest.param(ExitCode.STORAGE_FULL, StorageFullError, id="storage"),
        pytest.param(ExitCode.OUT_OF_MEMORY, FineTuneError, id="device-memory"),
        pytest.param(ExitCode.HOST_OUT_OF_MEMORY, FineTuneError, id="memory"),
        pytest.param(ExitCode.INTERNAL, FineTuneError, id="anything-else"),
    ],
)
def test_a_failure_is_our_error_with_the_childs_sentence(code: ExitCode, kind: type[FineTuneError]) -> None:
    with pytest.raises(FineTuneError) as caught:
        heard(program(failure(code, "train.jsonl:3: is cut off")))
    assert type(caught.value) is kind
    assert str(caught.value) == "train.jsonl:3: is cut off"
    assert caught.value.exit_code == code


def test_what_a_failed_child_said_beside_its_sentence_is_kept() -> None:
    source = f"import sys; sys.stderr.write('Traceback: it broke\\n'); {failure(70, 'broke; the log has it')}"
    with pytest.raises(FineTuneError) as caught:
        heard(program(source))
    assert caught.value.details.endswith("ended with code 70\nTraceback: it broke")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        pytest.param("raise SystemExit(3)", "ended with code 3: it said nothing", id="silent"),
        pytest.param("1/0", "ended with code 1: ZeroDivisionError: division by zero", id="traceback"),
        pytest.param(
            "import os, sys; sys.stderr.write('loading\\n\\n'); sys.stderr.flush(); os.kill(os.getpid(), 9)",
            "was ended by SIGKILL: loading",
            id="killed",
        ),
    ],
)
def test_an_end_without_a_failure_event_is_told_with_its_last_words(source: str, sentence: str) -> None:
    with pytest.raises(FineTuneError) as caught:
        heard(program(source))
    assert str(caught.value) == f"-ISc {source} {sentence}"


def test_a_child_is_ended_when_its_listener_fails() -> None:
    event = format_event(WarningEvent(message="careful"))
    source = f"import time; print({event!r}, flush=True); time.sleep(600)"

    def fail(_: Event) -> None:
        raise RuntimeError("the listener's own")

    with pytest.raises(RuntimeError, match="the listener's own"):
        converse(program(source), "", fail)


def test_modules_run_with_this_python() -> None:
    command = module_command("finetune_trainer.inspection", "a")
    assert command == (sys.executable, "-m", "finetune_trainer.inspection", "a")
