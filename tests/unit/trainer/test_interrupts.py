import signal
from collections.abc import Iterator

import pytest

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.interrupts import StopFlag

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
