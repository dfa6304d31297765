"""The trainer as a child process: what it says, how it ends, and what is said for it when it can't."""

import os
import signal
import sys
from pathlib import Path

import pytest

from finetune_operator.exceptions import OutputConflictError
from finetune_operator.local.record import Record
from finetune_operator.local.run import KILLED, STOPPING, Launch, train
from finetune_operator.local.status_file import StatusKeeper, read_status, restored, settle, write_status
from finetune_trainer.events import Event, FailureEvent, PhaseEvent, WarningEvent, format_event
from finetune_trainer.exit_codes import ExitCode
from tests.unit.lifecycle.test_status import RESULT, STEP, running

HELLO = format_event(WarningEvent(message="hello"))
RESULT_LINE = format_event(RESULT)
FULL_LINE = format_event(FailureEvent(code=23, message="no space left"))


class Heard:
    """A view that keeps everything, and asks for the end as often as it is told to."""

    def __init__(self, *, interrupts: int = 0) -> None:
        self.events: list[Event] = []
        self.notes: list[str] = []
        self._interrupts = interrupts

    def event(self, event: Event) -> None:
        self.events.append(event)
        for _ in range(self._interrupts):
            os.kill(os.getpid(), signal.SIGINT)
        self._interrupts = 0


def run(code: str, folder: Path, heard: Heard) -> int:
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
    try:
        launch = Launch(command=(sys.executable, "-c", code), log=folder / "trainer.log", lock_fd=lock)
        return train(launch, heard.event, heard.notes.append)
    finally:
        os.close(lock)


def complete(folder: Path) -> Record:
    """What the notes say of a run that has its result."""
    return Record(spec={}, option="lora-1x24g", hash="sha256:1", product=None, devices=1, bundle=folder, result=RESULT)


def says(*lines: str, then: str = "") -> str:
    said = "".join(f"print({line!r}, flush=True)\n" for line in lines)
    return said + then


def test_events_are_passed_on_and_the_rest_is_the_log(tmp_path: Path) -> None:
    heard = Heard()
    assert run(says("loading", HELLO, "done"), tmp_path, heard) == 0
    assert heard.events == [WarningEvent(message="hello")]
    assert (tmp_path / "trainer.log").read_text(encoding="utf-8") == "loading\ndone\n"


@pytest.mark.parametrize(
    ("code", "expected", "says_how"),
    [
        pytest.param("import sys; sys.exit(1)", ExitCode.INTERNAL, "ended with code 1", id="python"),
        pytest.param("import sys; sys.exit(20)", ExitCode.OUT_OF_MEMORY, "ended with code 20", id="ours"),
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", ExitCode.INTERNAL, "by SIGKILL", id="kill"
        ),
    ],
)
def test_an_end_without_a_word_is_said_for_it(code: str, expected: ExitCode, says_how: str, tmp_path: Path) -> None:
    heard = Heard()
    assert run(code, tmp_path, heard) == expected
    (failure,) = heard.events
    assert isinstance(failure, FailureEvent)
    assert failure.code == expected
    assert says_how in failure.message


def test_a_failure_is_told_once_and_with_its_own_code(tmp_path: Path) -> None:
    heard = Heard()
    assert run(says(FULL_LINE, then="import os; os.kill(os.getpid(), 9)"), tmp_path, heard) == 23
    assert len(heard.events) == 1


def test_what_happens_after_the_result_changes_nothing(tmp_path: Path) -> None:
    heard = Heard()
    assert run(says(RESULT_LINE, then="import os; os.kill(os.getpid(), 9)"), tmp_path, heard) == 0
    assert heard.events == [RESULT]


def test_a_request_to_stop_before_the_child_listens_is_no_fault_of_ours(tmp_path: Path) -> None:
    # Python's own handler is replaced by the system's: the child ends by the signal, as while it still starts
    deaf = "import signal; signal.signal(2, signal.SIG_DFL)\n"
    heard = Heard(interrupts=1)
    assert run(deaf + says(HELLO, then="import time; time.sleep(60)"), tmp_path, heard) == ExitCode.INTERRUPTED
    assert heard.notes == [STOPPING]


def test_the_second_request_ends_it_at_once(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(2, signal.SIG_IGN)\n"
    heard = Heard(interrupts=2)
    assert run(stubborn + says(HELLO, then="import time; time.sleep(60)"), tmp_path, heard) == ExitCode.INTERRUPTED
    assert heard.notes == [STOPPING, KILLED]


def test_a_log_on_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "trainer.log").symlink_to("/dev/full")
    heard = Heard()
    assert run(says("a word", HELLO), tmp_path, heard) == 0
    assert heard.events == [WarningEvent(message="hello")]


def test_a_status_that_can_not_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_status(tmp_path, running())
    heard = Heard()
    keeper = StatusKeeper(tmp_path, read_status(tmp_path), heard.event, heard.notes.append)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("finetune_operator.local.status_file.write_atomically", full)
    keeper.take(FailureEvent(code=23, message="no space left"))
    keeper.take(FailureEvent(code=23, message="no space left"))
    assert len(heard.events) == 2
    assert len(heard.notes) == 1
    assert "can't be written (No space left on device)" in heard.notes[0]


def test_the_status_of_a_complete_run_is_settled(tmp_path: Path) -> None:
    write_status(tmp_path, running(STEP, PhaseEvent(phase="tuned", message="evaluating")))
    record = complete(tmp_path)
    settle(tmp_path, record, RESULT)
    assert read_status(tmp_path).phase == "Succeeded"
    before = (tmp_path / "status.yaml").stat().st_mtime_ns
    settle(tmp_path, record, RESULT)
    assert (tmp_path / "status.yaml").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["", "status: {phase: Foo", "status: {}", "[" * 2_000, "status: 5"])
def test_a_lost_or_damaged_status_is_made_anew(damage: str, tmp_path: Path) -> None:
    (tmp_path / "status.yaml").write_text(damage, encoding="utf-8")
    with pytest.raises(OutputConflictError, match=r"status.yaml: isn't a status that a run wrote; the same"):
        read_status(tmp_path)
    record = complete(tmp_path)
    assert restored(tmp_path, record).phase == "Planned"
    settle(tmp_path, record, RESULT)
    assert read_status(tmp_path).phase == "Succeeded"


def test_the_phase_in_the_file_is_never_read(tmp_path: Path) -> None:
    write_status(tmp_path, running().model_copy(update={"phase": "Foo"}))
    assert read_status(tmp_path).phase == "Starting"
