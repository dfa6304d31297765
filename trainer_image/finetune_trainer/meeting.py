"""Where the launchers of a run's nodes meet, and which of them this one is. No torch here."""

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import WorldConfig

MASTER: Final = "FINETUNE_MASTER"
"""Environment of several nodes: host:port of the first one, by which the others find it."""

NODE: Final = "JOB_COMPLETION_INDEX"
"""Environment of several nodes: which one this is, from 0; Kubernetes sets it in pods of an Indexed Job."""

PATIENCE_SECONDS: Final = 600
"""How long a node waits for the others: their pods may still fetch the image and the model."""

PAUSE_SECONDS: Final = 0.5
"""Between two tries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """One launcher's part in a rendezvous."""

    host: str
    port: int
    node: int
    """Of this launcher, from 0; the first one listens."""


def meeting_of(world: WorldConfig, environment: Mapping[str, str]) -> Meeting:
    """Where this launcher meets the others.

    Raises:
        TrainerError: CONFIGURATION, there are others and the environment doesn't say where.
    """
    if world.nodes == 1:
        return Meeting(host="127.0.0.1", port=_free_port(), node=0)
    host, _, port = environment.get(MASTER, "").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise _refusal(world, f"{MASTER}, host:port of the first one, is {environment.get(MASTER) or 'absent'}")
    node = environment.get(NODE, "")
    if not node.isdecimal() or int(node) >= world.nodes:
        raise _refusal(world, f"{NODE}, which of them this is, is {node or 'absent'}")
    return Meeting(host=host.strip("[]"), port=int(port), node=int(node))


def wait_for_first(meeting: Meeting, stopped: Callable[[], bool], patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Go on once the first node listens; it does at once.

    Torch would wait too, but without ever hearing a request to stop.

    Raises:
        TrainerError: INTERRUPTED, asked to stop; RANK_LOST, it didn't come.
    """
    until = time.monotonic() + patience_seconds
    while meeting.node and not _listens(meeting):
        if stopped():
            raise TrainerError(
                ExitCode.INTERRUPTED, "stopped on request before training: no checkpoint was needed; start it again"
            )
        if time.monotonic() > until:
            raise TrainerError(
                ExitCode.RANK_LOST,
                f"the first node of this run didn't answer at {meeting.host}:{meeting.port} within "
                f"{patience_seconds:.0f} s; see why it doesn't start, and start all of them again",
            )
        time.sleep(PAUSE_SECONDS)


def _listens(meeting: Meeting) -> bool:
    try:
        with socket.create_connection((meeting.host, meeting.port), timeout=5):
            return True
    except OSError:
        # its name may not be known yet, either
        return False


def _refusal(world: WorldConfig, what: str) -> TrainerError:
    return TrainerError(
        ExitCode.CONFIGURATION,
        f"the plan is for {world.nodes} nodes, and {what}; set {MASTER} and {NODE} on each of them, or choose an "
        "option with one node, and write another output.path",
    )


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port
