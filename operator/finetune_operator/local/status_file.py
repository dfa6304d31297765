"""status.yaml in the output folder: what the cluster would hold as the job's status."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import yaml

from finetune_operator.api.conditions import ConditionStatus, ConditionType, find_condition
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.exceptions import OutputConflictError
from finetune_operator.lifecycle.phase import phase_of
from finetune_operator.lifecycle.status import advance, chosen, started
from finetune_operator.local.children import Notify
from finetune_operator.local.files import write_atomically
from finetune_operator.local.record import STATUS_FILE, Record
from finetune_trainer.events import CheckpointEvent, Event, FailureEvent, ResultEvent

STATUS_SECONDS: Final = 5.0
"""Least time between two writes that only tell progress."""


def read_status(output: Path) -> FineTuneJobStatus:
    """The status that a run left in its output folder.

    Raises:
        OutputConflictError: there is none, or it isn't one.
    """
    path = output / STATUS_FILE
    try:
        text = path.read_text(encoding="utf-8")
        return _parse(text)
    except FileNotFoundError as e:
        raise OutputConflictError(f"{output}: holds no run; begin one with `finetune run job.yaml`") from e
    except (OSError, ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError) as e:
        raise OutputConflictError(
            f"{path}: isn't a status that a run wrote; the same `finetune run` writes it anew"
        ) from e


def _parse(text: str) -> FineTuneJobStatus:
    status = FineTuneJobStatus.model_validate(yaml.safe_load(text)["status"], strict=False)
    if status.plan is None:
        raise ValueError("it names no plan")
    # printed from the conditions and never read
    return status.model_copy(update={"phase": phase_of(status.conditions)})


def write_status(output: Path, status: FineTuneJobStatus) -> None:
    """Write status.yaml, complete or not at all."""
    value = {"status": status.model_dump(mode="json", by_alias=True, exclude_none=True)}
    write_atomically(output / STATUS_FILE, yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120))


def restored(output: Path, record: Record) -> FineTuneJobStatus:
    """The status; made anew of what the run's own notes say where it is gone or damaged."""
    try:
        return read_status(output)
    except OutputConflictError:
        return chosen(record.option, record.hash, now())


def settle(output: Path, record: Record, result: ResultEvent) -> FineTuneJobStatus:
    """The status of a complete run, brought up to date: who wrote it may have been killed before the last word."""
    status = restored(output, record)
    done = find_condition(status.conditions, ConditionType.SUCCEEDED)
    if done is None or done.status is not ConditionStatus.TRUE:
        status = advance(status, result, now())
        write_status(output, status)
    return status


class StatusKeeper:
    """Folds events into the status and writes it: at every transition at once, for mere progress at a bounded rate."""

    def __init__(self, output: Path, status: FineTuneJobStatus, show: Callable[[Event], None], notify: Notify) -> None:
        self._output = output
        self._show = show
        self._notify = notify
        self._written_at = now()
        self._told = False
        self.status = status

    def start(self) -> None:
        """A session of the trainer begins."""
        self.status = started(self.status, now())
        write_status(self._output, self.status)

    def take(self, event: Event) -> None:
        """Show an event, then note it: what the trainer says of a full disk is seen although it can't be noted."""
        moment = now()
        self.status = advance(self.status, event, moment)
        with suppress(OSError):
            # a display that can't be written to, on a full disk, ends no training
            self._show(event)
        waited = (moment - self._written_at).total_seconds() >= STATUS_SECONDS
        if waited or isinstance(event, CheckpointEvent | FailureEvent | ResultEvent):
            self._written_at = moment
            self._note()

    def _note(self) -> None:
        try:
            write_status(self._output, self.status)
        except OSError as e:
            # training goes on without: the trainer finds out by itself whether it can still save
            if not self._told:
                self._notify(f"{self._output / STATUS_FILE} can't be written ({e.strerror}); the run goes on")
            self._told = True


def now() -> datetime:
    """The time, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
