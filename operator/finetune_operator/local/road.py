"""A job's way on this machine: look, choose, begin, train; the same command goes on where it was left."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import yaml

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.exceptions import OutputConflictError
from finetune_operator.lifecycle.selection import select
from finetune_operator.lifecycle.status import advance, begun, started
from finetune_operator.local import run
from finetune_operator.local.files import write_atomically
from finetune_operator.local.gpu import VISIBLE
from finetune_operator.local.inspect import Inspected, data_files, inspect
from finetune_operator.local.inventory import devices_for, read_capacity
from finetune_operator.local.model_store import CatalogueModel, ModelFolder, model_for_planning, model_for_training
from finetune_operator.local.output_folder import Claim, check_space, claim, examine
from finetune_operator.local.record import STATE_FOLDER, Record, normalise, write_record
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.plan import Plan, PlanSet
from finetune_operator.planner.planner import plan
from finetune_operator.renderers.bundle import render_bundle
from finetune_operator.renderers.trainer_config import Places
from finetune_trainer.events import CheckpointEvent, Event, FailureEvent, ResultEvent
from finetune_trainer.exit_codes import ExitCode

STATUS_FILE: Final = "status.yaml"
"""In the output folder: what the cluster would hold as the job's status."""

STATUS_SECONDS: Final = 5.0
"""Least time between two writes of the status that only tell progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """All that is known before a choice."""

    job: FineTuneJob
    folder: Path
    """Of the job file; its relative paths start there."""
    model: ModelFolder | CatalogueModel
    inspected: Inspected
    capacity: Capacity
    plans: PlanSet


class View(Protocol):
    """Whoever shows a run to its user."""

    def notify(self, sentence: str) -> None:
        """Say what is going on."""

    def choose(self, prospect: Prospect) -> Plan:
        """Show the options and have one chosen.

        Raises:
            SelectionNeededError: nobody can be asked.
        """

    def begin(self, record: Record, status: FineTuneJobStatus) -> None:
        """The trainer is about to start."""

    def event(self, event: Event, status: FineTuneJobStatus) -> None:
        """The trainer said something."""


def output_folder(job: FineTuneJob, folder: Path) -> Path:
    """The job's output folder as an absolute path."""
    return (folder / job.spec.output.path).resolve()


def look_ahead(job: FineTuneJob, folder: Path, capacity: Capacity | None, notify: Callable[[str], None]) -> Prospect:
    """Everything for a plan; nothing big is downloaded.

    Raises:
        FineTuneError: the model or the data can't be used.
    """
    return _look(job, folder, model_for_planning(job.spec.model.source, folder, notify), capacity)


def _look(
    job: FineTuneJob, folder: Path, model: ModelFolder | CatalogueModel, capacity: Capacity | None = None
) -> Prospect:
    inspected = inspect(job.spec, folder, model)
    known = capacity or read_capacity(output_folder(job, folder), job.spec.hardware.accelerator)
    plans = plan(job.spec, inspected.facts, known)
    return Prospect(job=job, folder=folder, model=model, inspected=inspected, capacity=known, plans=plans)


def run_job(job: FineTuneJob, folder: Path, option: str | None, view: View) -> int:
    """Run a job, or go on with it, or say that it is done; the trainer's exit code.

    Args:
        job: what to run.
        folder: of the job file.
        option: the user's choice; None: the job's own `plan.option`, if any.
        view: shows it.

    Raises:
        FineTuneError: it can't be begun.
    """
    asked = option or job.spec.plan.option
    output = output_folder(job, folder)
    record = examine(output, job, folder, asked)
    if record is not None and record.result is not None:
        view.begin(record, read_status(output))
        return ExitCode.OK
    # nothing is written before the choice is made
    prospect, chosen = (None, None) if record is not None else _chosen(job, folder, asked, view)
    with claim(output, view.notify) as held:
        # again under the lock: somebody may have begun, or finished, in between
        record = examine(output, job, folder, asked)
        if record is None and prospect is not None and chosen is not None:
            record = _begin(prospect, chosen, output)
        if record is None:
            raise OutputConflictError(f"spec.output.path: {output} was emptied just now; run the same command again")
        if record.result is not None:
            view.begin(record, read_status(output))
            return ExitCode.OK
        return _train(held, record, view)


def _chosen(job: FineTuneJob, folder: Path, asked: str | None, view: View) -> tuple[Prospect, Plan]:
    model = model_for_training(job.spec.model.source, folder, view.notify)
    prospect = _look(job, folder, model)
    found = select(prospect.plans, asked, prospect.capacity.origin)
    return prospect, found or view.choose(prospect)


def _begin(prospect: Prospect, chosen: Plan, output: Path) -> Record:
    check_space(output, chosen.disk)
    facts, inspection = prospect.inspected.facts, prospect.inspected.inspection
    bundle = render_bundle(prospect.job, chosen, int(facts.model.config["hidden_size"]), _places(prospect, output))
    write_status(output, begun(facts, inspection, chosen, bundle.hash, _now()))
    return write_record(output, normalise(prospect.job, prospect.folder), chosen, bundle)


def _places(prospect: Prospect, output: Path) -> Places:
    source, files = prospect.job.spec.model.source, data_files(prospect.job.spec, prospect.folder)
    if isinstance(prospect.model, CatalogueModel):
        raise TypeError("a model of the catalogue has no weights to train")
    named = source.path or source.gguf
    return Places(
        model=str(prospect.model.path),
        model_description=prospect.model.description,
        model_source=str((prospect.folder / named).resolve()) if named is not None else None,
        train=str(files.train),
        evaluation=str(files.evaluation) if files.evaluation is not None else None,
        output=str(output),
    )


def _train(held: Claim, record: Record, view: View) -> int:
    keeper = _StatusKeeper(held.folder, view)
    keeper.start()
    view.begin(record, keeper.status)
    launch = run.Launch(
        command=run.launch_command(record.job_file),
        log=held.folder / STATE_FOLDER / run.LOG,
        lock_fd=held.lock_fd,
        environment={run.COMMAND: shlex.join(["finetune", *sys.argv[1:]]), **_devices(record)},
    )
    return run.train(launch, keeper.take, view.notify)


def _devices(record: Record) -> dict[str, str]:
    """The GPUs that the trainer may see: as many as planned, the freest of the planned product."""
    if record.product is None:
        return {}
    return {VISIBLE: ",".join(devices_for(record.product, record.devices))}


class _StatusKeeper:
    """Folds events into the status and writes it: at every transition at once, for mere progress at a bounded rate."""

    def __init__(self, output: Path, view: View) -> None:
        self._output = output
        self._view = view
        self._written_at = _now()
        self.status = read_status(output)

    def start(self) -> None:
        self._set(started(self.status, _now()))

    def take(self, event: Event) -> None:
        now = _now()
        self.status = advance(self.status, event, now)
        waited = (now - self._written_at).total_seconds() >= STATUS_SECONDS
        if waited or isinstance(event, CheckpointEvent | FailureEvent | ResultEvent):
            self._set(self.status)
        self._view.event(event, self.status)

    def _set(self, status: FineTuneJobStatus) -> None:
        self.status, self._written_at = status, _now()
        write_status(self._output, status)


def read_status(output: Path) -> FineTuneJobStatus:
    """The status that a run left in its output folder.

    Raises:
        OutputConflictError: there is none, or it isn't one.
    """
    path = output / STATUS_FILE
    try:
        return FineTuneJobStatus.model_validate(
            yaml.safe_load(path.read_text(encoding="utf-8"))["status"], strict=False
        )
    except FileNotFoundError as e:
        raise OutputConflictError(f"{output}: holds no run; begin one with `finetune run job.yaml`") from e
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as e:
        raise OutputConflictError(f"{path}: isn't a status that a run wrote ({e}); remove the file") from e


def write_status(output: Path, status: FineTuneJobStatus) -> None:
    """Write status.yaml, complete or not at all."""
    value = {"status": status.model_dump(mode="json", by_alias=True, exclude_none=True)}
    write_atomically(output / STATUS_FILE, yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120))


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
