import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.interrupts import LAUNCHER, StopFlag, stop_with_launcher

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def flag() -> Iterator[StopFlag]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    flag = StopFlag()
    flag.install()
    yield flag
    for number, handler in before.items():
        signal.signal(number, handler)


def test_nothing_stops_before_it_is_asked_to(flag: StopFlag) -> None:
    flag.check()
    assert not flag.requested


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_at_the_next_place_where_nothing_is_lost(flag: StopFlag, number: signal.Signals) -> None:
    signal.raise_signal(number)
    signal.raise_signal(number)
    assert flag.requested
    with pytest.raises(TrainerError) as caught:
        flag.check()
    assert caught.value.code is ExitCode.INTERRUPTED
    assert caught.value.message == (
        "stopped on request before training: no checkpoint was needed; run the same command again"
    )
    flag.has_checkpoint = True
    with pytest.raises(TrainerError, match="to go on from the checkpoint"):
        flag.check()


RANK = """
import signal, time
from finetune_trainer.interrupts import StopFlag, stop_with_launcher
stop = StopFlag()
stop.install()
stop_with_launcher(stop)
print("ready", flush=True)
while not stop.requested:
    time.sleep(0.01)
print("asked to stop", flush=True)
"""
LAUNCHING = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {RANK!r}])"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
def test_a_rank_is_asked_to_stop_when_its_launcher_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", LAUNCHING], stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "ready\n"
        launcher.kill()
        assert launcher.stdout.read() == "asked to stop\n"


@pytest.mark.parametrize(
    ("launcher", "requested"),
    [
        pytest.param(None, False, id="by-hand"),
        pytest.param(str(os.getppid()), False, id="there"),
        pytest.param(str(os.getpid()), True, id="gone"),
    ],
)
def test_a_launcher_that_has_gone_already_is_noticed(
    launcher: str | None,
    requested: bool,  # noqa: FBT001  a case of the table
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(LAUNCHER, raising=False)
    if launcher is not None:
        monkeypatch.setenv(LAUNCHER, launcher)
    monkeypatch.setattr("finetune_trainer.interrupts._ask_for_signal", lambda: None)
    stop = StopFlag()
    stop_with_launcher(stop)
    assert stop.requested is requested
