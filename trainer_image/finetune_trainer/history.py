"""The steps and resumptions of a run, kept beside its output across sessions. No torch here."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from finetune_trainer.events import HeldOutEvent, ResumeEvent, StepEvent

Told = StepEvent | HeldOutEvent | ResumeEvent
"""What a history is made of."""

_LINE: Final[TypeAdapter[Told]] = TypeAdapter(Annotated[Told, Field(discriminator="event")])


class History:
    """An append-only file of steps; what a later session did again counts as it was done last."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, event: Told) -> None:
        """Append a step, an evaluation or a resumption."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as f:
            if f.tell() and not _ends_with_newline(self._path):
                f.write(b"\n")
            f.write(event.model_dump_json().encode() + b"\n")

    def steps(self) -> tuple[StepEvent, ...]:
        """All steps in order, as the training that stands took them."""
        return tuple(e for e in self._standing() if isinstance(e, StepEvent))

    def held_out(self) -> tuple[HeldOutEvent, ...]:
        """All evaluations in order, as the training that stands made them."""
        return tuple(e for e in self._standing() if isinstance(e, HeldOutEvent))

    def resumptions(self) -> tuple[int, ...]:
        """Steps that the run was resumed from, in the order of the sessions."""
        return tuple(e.step for e in self._read() if isinstance(e, ResumeEvent))

    def _standing(self) -> list[StepEvent | HeldOutEvent]:
        told: list[StepEvent | HeldOutEvent] = []
        resumed = None
        for event in self._read():
            # what a session that was asked to stop had no time for: it undoes nothing
            made_up = isinstance(event, HeldOutEvent) and event.step == resumed
            # a session that goes on from an earlier step, or begins again, undoes what came after it
            while told and not made_up and _is_undone(told[-1], event):
                told.pop()
            resumed = event.step if isinstance(event, ResumeEvent) else None
            if not isinstance(event, ResumeEvent):
                told.append(event)
        return told

    def _read(self) -> Iterator[Told]:
        if not self._path.exists():
            return
        for line in self._path.read_bytes().splitlines():
            try:
                yield _LINE.validate_json(line)
            except ValidationError:
                # a line cut short by a kill
                continue


def _is_undone(last: StepEvent | HeldOutEvent, event: Told) -> bool:
    if last.step == event.step:
        # a step is told after its evaluation
        return isinstance(event, HeldOutEvent) or (isinstance(event, StepEvent) and isinstance(last, StepEvent))
    return last.step > event.step


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as f:
        f.seek(-1, os.SEEK_END)
        return f.read(1) == b"\n"
