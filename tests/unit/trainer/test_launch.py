import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from finetune_trainer import launch
from finetune_trainer.events import FailureEvent, parse_event
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.progress import LeftFailure
from tests.support.trainer_builders import make_job

SIGNALS = (signal.SIGTERM, signal.SIGINT)
READY = "import sys; print('ready', flush=True); sys.stdin.read()"
"""A child that says when it can be told, and ends with whoever started it."""


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[launch._Stop]:
    monkeypatch.setattr(launch, "FORWARD_SECONDS", 0.01)
    opened = launch._Stop()
    yield opened
    opened.close()


def child() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", READY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def end_of(process: "subprocess.Popen[str]") -> int:
    with process:
        return process.wait(timeout=60)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_request_to_stop_reaches_ranks_of_before_and_after_it(stop: launch._Stop, number: signal.Signals) -> None:
    early = child()
    assert not stop.asked
    signal.raise_signal(number)
    assert stop.asked
    late = child()
    assert [end_of(early), end_of(late)] == [-signal.SIGTERM, -signal.SIGTERM]


def test_once_closed_it_leaves_signals_and_children_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "FORWARD_SECONDS", 0.01)
    before = [signal.getsignal(number) for number in SIGNALS]
    stop = launch._Stop()
    signal.raise_signal(signal.SIGTERM)
    stop.close()
    assert [signal.getsignal(number) for number in SIGNALS] == before
    later = subprocess.run([sys.executable, "-c", "pass"], check=False)
    assert later.returncode == 0


@pytest.mark.usefixtures("stop")
def test_a_rank_that_ends_while_it_is_told_keeps_no_other_from_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    terminate, refused = psutil.Process.terminate, set[int]()

    def already_gone(process: psutil.Process) -> None:
        if not refused:
            refused.add(process.pid)
            raise psutil.NoSuchProcess(process.pid)
        if process.pid not in refused:
            terminate(process)

    monkeypatch.setattr(psutil.Process, "terminate", already_gone)
    first = child()
    signal.raise_signal(signal.SIGTERM)
    while not refused:
        assert first.poll() is None
    assert end_of(child()) == -signal.SIGTERM
    first.kill()
    end_of(first)


@pytest.mark.parametrize(
    ("exit_code", "asked", "code", "says"),
    [
        pytest.param(int(ExitCode.DATA), False, ExitCode.DATA, "", id="ours"),
        pytest.param(
            -signal.SIGTERM,
            True,
            ExitCode.INTERRUPTED,
            "stopped on request before training: no checkpoint was needed",
            id="stopped-early",
        ),
        pytest.param(
            -signal.SIGTERM, False, ExitCode.INTERNAL, "ended unexpectedly with signal 15; see the log", id="ended"
        ),
        pytest.param(-signal.SIGKILL, False, ExitCode.HOST_OUT_OF_MEMORY, "killed from outside (SIGKILL)", id="killed"),
        pytest.param(-signal.SIGSEGV, True, ExitCode.INTERNAL, "with signal 11", id="crashed"),
        pytest.param(1, False, ExitCode.INTERNAL, "with exit code 1", id="unknown-code"),
    ],
)
def test_the_end_of_a_rank_is_a_code_of_ours(
    stop: launch._Stop,
    capsys: pytest.CaptureFixture[str],
    exit_code: int,
    asked: bool,  # noqa: FBT001  a case of the table
    code: ExitCode,
    says: str,
) -> None:
    if asked:
        signal.raise_signal(signal.SIGTERM)
    assert launch._code_of(exit_code, stop) == code
    told = [e for line in capsys.readouterr().out.splitlines() if isinstance(e := parse_event(line), FailureEvent)]
    # what a rank ended with by itself it has told by itself
    assert [e.code for e in told] == ([code] if says else [])
    assert all(says in e.message for e in told)


def lost(time: float) -> LeftFailure:
    return LeftFailure(code=ExitCode.RANK_LOST, message="another rank is gone", time=time)


@pytest.mark.parametrize(
    ("ends", "left", "code", "says"),
    [
        pytest.param(
            {0: (10.0, ExitCode.RANK_LOST), 1: (10.0, -signal.SIGKILL)},
            {0: lost(9.9)},
            ExitCode.HOST_OUT_OF_MEMORY,
            "killed from outside",
            id="the-killed-one",
        ),
        pytest.param(
            {0: (10.0, -signal.SIGKILL), 1: (10.0, -signal.SIGTERM)},
            {1: lost(9.9)},
            ExitCode.HOST_OUT_OF_MEMORY,
            "killed from outside",
            id="not-the-one-ended-while-it-ended-by-itself",
        ),
        pytest.param(
            {0: (10.0, -signal.SIGKILL), 1: (10.0, ExitCode.INTERRUPTED)},
            {1: LeftFailure(code=ExitCode.INTERRUPTED, message="stopped", time=10.2)},
            ExitCode.HOST_OUT_OF_MEMORY,
            "killed from outside",
            id="not-the-one-asked-to-stop-for-it",
        ),
        pytest.param(
            {0: (10.0, ExitCode.DATA), 1: (10.0, ExitCode.DATA)},
            {
                0: LeftFailure(code=ExitCode.DATA, message="second", time=9.6),
                1: LeftFailure(code=ExitCode.DATA, message="first", time=9.5),
            },
            ExitCode.DATA,
            "first",
            id="the-first-of-two-alike",
        ),
        pytest.param(
            {0: (40.0, -signal.SIGKILL), 1: (10.0, ExitCode.OUT_OF_MEMORY)},
            {1: LeftFailure(code=ExitCode.OUT_OF_MEMORY, message="the device's memory", time=9.9)},
            ExitCode.OUT_OF_MEMORY,
            "the device's memory",
            id="not-the-one-that-hung-until-it-was-killed",
        ),
        pytest.param(
            {0: (10.0, ExitCode.RANK_LOST)}, {0: lost(9.9)}, ExitCode.RANK_LOST, "another rank", id="nobody-else"
        ),
    ],
)
def test_the_first_cause_of_several_ends_is_told_alone(
    stop: launch._Stop,
    capsys: pytest.CaptureFixture[str],
    ends: dict[int, tuple[float, int]],
    left: dict[int, LeftFailure],
    code: ExitCode,
    says: str,
) -> None:
    assert launch._first_cause(ends, left, stop) == code
    (told,) = [e for line in capsys.readouterr().out.splitlines() if isinstance(e := parse_event(line), FailureEvent)]
    assert told.code == code
    assert says in told.message


def test_ranks_ask_no_hub_and_only_those_of_a_gpu_plan_see_a_gpu() -> None:
    cpu, gpu = (launch.rank_environment(make_job(world={"accelerator": a})) for a in ("CPU", "GPU"))
    assert gpu == {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    assert cpu == gpu | {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}


def test_one_rank_is_started_without_torch_and_ends_the_launcher_with_its_code() -> None:
    rank = (
        "import os, sys; place = [os.environ[n] for n in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')]; "
        f"sys.exit({int(ExitCode.DATA)} if place == ['0', '1', '127.0.0.1', '29501'] else 1)"
    )
    code = (
        "import sys; from finetune_trainer import launch; from finetune_trainer.meeting import Meeting; "
        "stop = launch._Stop(); meeting = Meeting(host='127.0.0.1', port=29501, node=0); "
        f"code = launch._launch_one((sys.executable, '-c', {rank!r}), meeting, stop); "
        "sys.exit(99 if 'torch' in sys.modules else code)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == ExitCode.DATA
