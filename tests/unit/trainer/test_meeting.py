import socket
from collections.abc import Mapping

import pytest

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.meeting import MASTER, NODE, Meeting, meeting_of, wait_for_first
from tests.support.trainer_builders import make_job

TWO = make_job(world={"nodes": 2, "devices_per_node": 1}).world
THERE = {MASTER: "tickets-1-0.tickets-1:29500", NODE: "1"}


def test_the_environment_of_a_pod_says_where_nodes_meet() -> None:
    assert meeting_of(TWO, THERE) == Meeting(host="tickets-1-0.tickets-1", port=29500, node=1)
    assert meeting_of(TWO, THERE | {MASTER: "[fd00::7]:29500"}).host == "fd00::7"


def test_one_node_meets_nobody_whatever_the_environment_says() -> None:
    found = meeting_of(make_job(world={"nodes": 1}).world, THERE)
    assert (found.host, found.node) == ("127.0.0.1", 0)
    wait_for_first(found, lambda: True)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        pytest.param({}, "FINETUNE_MASTER, host:port of the first one, is absent; ", id="no-master"),
        pytest.param(THERE | {MASTER: "host"}, "is host; ", id="no-port"),
        pytest.param(THERE | {MASTER: "host:70000"}, "is host:70000; ", id="no-such-port"),
        pytest.param({MASTER: "host:1"}, "JOB_COMPLETION_INDEX, which of them this is, is absent; ", id="no-node"),
        pytest.param(THERE | {NODE: "2"}, "is 2; ", id="one-too-many"),
    ],
)
def test_several_nodes_that_arent_told_where_to_meet_are_refused(environment: Mapping[str, str], says: str) -> None:
    with pytest.raises(TrainerError) as refused:
        meeting_of(TWO, environment)
    assert refused.value.code == ExitCode.CONFIGURATION
    assert says in refused.value.message


def test_a_node_waits_until_the_first_one_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        there = Meeting(host="127.0.0.1", port=first.getsockname()[1], node=1)
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            first.listen()

        monkeypatch.setattr("time.sleep", pause)
        wait_for_first(there, lambda: False)
    assert len(pauses) == 1


@pytest.mark.parametrize(
    ("asked", "code"), [pytest.param(True, ExitCode.INTERRUPTED, id="stopped"), pytest.param(False, 24, id="nobody")]
)
def test_a_node_waits_neither_for_ever_nor_when_it_is_to_stop(asked: bool, code: int) -> None:  # noqa: FBT001  a case
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        there = Meeting(host="127.0.0.1", port=nobody.getsockname()[1], node=1)
        with pytest.raises(TrainerError) as ended:
            wait_for_first(there, lambda: asked, patience_seconds=-1)
    assert ended.value.code == code
