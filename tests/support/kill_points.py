"""Random moments to kill a rank at, over all phases of a run; drawn from a seed, so that each can be tried again."""

import random
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from finetune_trainer.checkpoints import MARKER
from finetune_trainer.events import Event, PhaseEvent, StepEvent
from tests.support.trainer_process import Ranks
from tests.support.training_jobs import TinyJob

LATEST_SECONDS: Final = 0.4
"""After a phase's beginning that a kill comes at the latest; a phase of the tiny model takes some 0.1 to 2 s."""


class Point(NamedTuple):
    """When whom."""

    ranks: int
    stage: int
    phase: str
    turn: int
    """Which step, checkpoint or tick of that phase, from 1."""
    delay: float
    """Seconds behind its beginning."""
    victim: int

    @property
    def id(self) -> str:
        """Short and unique."""
        return f"{self.ranks}x-z{self.stage}-{self.phase}-{self.turn}-{self.delay:.3f}s-rank{self.victim}"


def draw(count: int, seed: int, turns: Mapping[str, int]) -> list[Point]:
    """So many points, the phases in turn.

    Args:
        count: how many.
        seed: of all of them.
        turns: how often each phase comes round in a run.
    """
    chance = random.Random(seed)  # noqa: S311  nobody is to be kept from guessing it
    phases = list(turns)
    chance.shuffle(phases)
    found = []
    for index in range(count):
        phase = phases[index % len(phases)]
        # both numbers of ranks in each phase
        ranks, stage = ((1, 0), (2, 2), (2, 3), (2, 0))[(index + index // len(phases)) % 4]
        turn, delay = chance.randint(1, turns[phase]), chance.uniform(0, LATEST_SECONDS)
        found.append(Point(ranks, stage, phase, turn, delay, chance.randrange(ranks)))
    return found


def kill_at(job: TinyJob, point: Point, port: int) -> bool:
    """Run the job up to that point; whether the victim was still there to be killed."""
    ranks = Ranks(job.job_file, port, point.ranks)
    ranks.wait_for(lambda: _has_begun(point, job, ranks.events))
    due = time.monotonic() + (0 if point.phase in SHORT else point.delay)
    ranks.wait_for(lambda: time.monotonic() >= due)
    return ranks.kill(point.victim)


SHORT: Final = frozenset({"checkpoint", "publishing"})
"""Phases of milliseconds: killed at once."""


def _has_begun(point: Point, job: TinyJob, told: Callable[[], tuple[Event, ...]]) -> bool:
    if point.phase == "start":
        return True
    if point.phase == "checkpoint":
        written = list((job.output / "checkpoints").glob("checkpoint-*"))
        return len(written) >= point.turn and not all((f / MARKER).exists() for f in written)
    if point.phase == "publishing":
        return (job.output / ".finetune" / "tuned.json").exists()
    if point.phase == "step":
        return any(isinstance(e, StepEvent) and e.step >= point.turn for e in told())
    return sum(isinstance(e, PhaseEvent) and e.phase == point.phase for e in told()) >= point.turn
