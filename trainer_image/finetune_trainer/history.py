"""The steps and resumptions of a run, kept beside its output across sessions. No torch here."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from finetune_trainer.events import ResumeEvent, StepEvent

_LINE: Final[TypeAdapter[StepEvent | ResumeEvent]] = TypeAdapter(
    Annotated[StepEvent | ResumeEvent, Field(discriminator="event")]
)


class History:
    """An append-only file of steps; what a later session did again counts as it was done last."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, event: StepEvent | ResumeEvent) -> None:
        """Append a step or a resumption."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as f:
            if f.tell() and not _ends_with_newline(self._path):
                f.write(b"\n")
            f.write(event.model_dump_json().encode() + b"\n")

    def steps(self) -> tuple[StepEvent, ...]:
        """All steps in order, as the training that stands took them."""
        steps: list[StepEvent] = []
        for event in self._read():
            # a session that goes on from an earlier step, or begins again, undoes what came after it
            last_valid = event.step if isinstance(event, ResumeEvent) else event.step - 1
            while steps and steps[-1].step > last_valid:
                steps.pop()
            if isinstance(event, StepEvent):
                steps.append(event)
        return tuple(steps)

    def resumptions(self) -> tuple[int, ...]:
        """Steps that the run was resumed from, in the order of the sessions."""
        return tuple(e.step for e in self._read() if isinstance(e, ResumeEvent))

    def _read(self) -> Iterator[StepEvent | ResumeEvent]:
        if not self._path.exists():
            return
        for line in self._path.read_bytes().splitlines():
            try:
                yield _LINE.validate_json(line)
            except ValidationError:
                # a line cut short by a kill
                continue


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as f:
        f.seek(-1, os.SEEK_END)
        return f.read(1) == b"\n"
