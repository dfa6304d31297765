"""A job's way on this machine: look, choose, begin, train; the same command goes on where it was left."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from finetune_operator.api.base import format_place
from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.api.surroundings import untrained
from finetune_operator.exceptions import InvalidManifestError, OutputConflictError
from finetune_operator.lifecycle.selection import pick, select
from finetune_operator.lifecycle.status import begun
from finetune_operator.local import run
from finetune_operator.local.gpu import VISIBLE
from finetune_operator.local.hub_files import COMMIT
from finetune_operator.local.inspect import Inspected, inspect
from finetune_operator.local.inventory import devices_for, read_capacity
from finetune_operator.local.metrics import METRICS_FILE, write_metrics
from finetune_operator.local.model_store import CatalogueModel, ModelFolder, model_for_planning, model_for_training
from finetune_operator.local.output_folder import (
    Claim,
    check_result,
    check_space,
    claim,
    examine,
    goes_on_as_begun,
    unwritable,
)
from finetune_operator.local.record import Record, normalise, write_record
from finetune_operator.local.status_file import StatusKeeper, now, restored, settle, write_status
from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.plan import Plan, PlanSet
from finetune_operator.planner.planner import plan
from finetune_operator.renderers.bundle import render_bundle
from finetune_operator.renderers.trainer_config import Places
from finetune_trainer.events import Event
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.job_config import BASELINE_FILE, COMMAND, STATE_FOLDER


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

    def event(self, event: Event) -> None:
        """The trainer said something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One `finetune run`."""

    job: FineTuneJob
    folder: Path
    """Of the job file; its relative paths start there."""
    option: str | None
    """The user's choice; None: the job's own `plan.option`, if any."""
    command: str
    """As the user wrote it, for the report."""


def output_folder(job: FineTuneJob, folder: Path) -> Path:
    """The job's output folder as an absolute path.

    Raises:
        OutputConflictError: the system can't make a path of it.
    """
    try:
        return (folder / job.spec.output.here).resolve()
    except (OSError, RuntimeError) as e:
        raise OutputConflictError(
            f"spec.output.path: {job.spec.output.here} can't be used as a path ({e}); write another one"
        ) from e


def look_ahead(job: FineTuneJob, folder: Path, capacity: Capacity | None, notify: Callable[[str], None]) -> Prospect:
    """Everything for a plan; nothing big is downloaded.

    Raises:
        FineTuneError: the model or the data can't be used.
    """
    return _look(job, folder, model_for_planning(job.spec.model.source, folder, notify), notify, capacity)


def _look(
    job: FineTuneJob,
    folder: Path,
    model: ModelFolder | CatalogueModel,
    notify: Callable[[str], None],
    capacity: Capacity | None = None,
) -> Prospect:
    inspected = inspect(job.spec, folder, model, notify)
    known = capacity or read_capacity(output_folder(job, folder), job.spec.hardware.accelerator)
    plans = plan(job.spec, inspected.facts, known)
    return Prospect(job=job, folder=folder, model=model, inspected=inspected, capacity=known, plans=plans)


def run_job(request: Request, view: View) -> int:
    """Run a job, or go on with it, or say that it is done; the trainer's exit code.

    Raises:
        FineTuneError: it can't be begun.
    """
    job, folder = request.job, request.folder
    _hold_trainable(job)
    asked = request.option or job.spec.plan.option
    output = output_folder(job, folder)
    # nothing is written before the choice is made
    choice = None if _stands(examine(output, job, folder, asked), asked) else _choose(job, folder, asked, view)
    with claim(output, view.notify) as held:
        # again under the lock: somebody may have begun, or finished, in between
        record = examine(output, job, folder, asked)
        if not _stands(record, asked) and choice is not None:
            record = _begin(*choice, output)
        if record is None:
            raise OutputConflictError(f"spec.output.path: {output} was emptied just now; run the same command again")
        if record.result is None:
            return _train(held, record, request.command, view)
        check_result(output)
        view.begin(record, settle(output, record, record.result))
        return ExitCode.OK


def _stands(record: Record | None, asked: str | None) -> bool:
    """Whether a run was begun that goes on as it is; on other devices it is rendered anew, beside its checkpoints."""
    return record is not None and goes_on_as_begun(record, asked)


def _hold_trainable(job: FineTuneJob) -> None:
    for at, sentence in untrained(job.spec):
        raise InvalidManifestError(f"{format_place(('spec', *at))}: {sentence}")


def _choose(job: FineTuneJob, folder: Path, asked: str | None, view: View) -> tuple[Prospect, Plan]:
    """Choose by as little of the model as a plan needs, then get the rest of it and hold the choice against that."""
    prospect = look_ahead(job, folder, None, view.notify)
    chosen = select(prospect.plans, asked, prospect.capacity.origin) or view.choose(prospect)
    model = model_for_training(job.spec.model.source, folder, view.notify)
    if model == prospect.model:
        return prospect, chosen
    whole = _look(job, folder, model, view.notify)
    return whole, pick(whole.plans, chosen.id, whole.capacity.origin)


def _begin(prospect: Prospect, chosen: Plan, output: Path) -> Record:
    check_space(output, chosen.disk)
    facts, inspection = prospect.inspected.facts, prospect.inspected.inspection
    architecture = read_architecture(facts.model.config)
    places = _places(prospect, output)
    bundle = render_bundle(prospect.job, chosen, architecture, places)
    try:
        # of an option that was begun before, whose arithmetic may be another one
        (output / STATE_FOLDER / BASELINE_FILE).unlink(missing_ok=True)
        write_status(output, begun(facts, inspection, chosen, bundle.hash, now(), places.model_revision))
        return write_record(output, normalise(prospect.job, prospect.folder), chosen, bundle)
    except OSError as e:
        raise unwritable(output, e) from e


def _places(prospect: Prospect, output: Path) -> Places:
    source, files, adapter = prospect.job.spec.model.source, prospect.inspected.files, prospect.inspected.adapter
    if isinstance(prospect.model, CatalogueModel):
        raise TypeError("a model of the catalogue has no weights to train")
    named = source.path or source.gguf
    return Places(
        model=str(prospect.model.path),
        model_description=prospect.model.description,
        model_source=str((prospect.folder / named).resolve()) if named is not None else None,
        adapter=str(adapter) if adapter is not None else None,
        model_revision=prospect.model.path.name if COMMIT.fullmatch(prospect.model.path.name) else None,
        train=tuple(map(str, files.train)),
        evaluation=str(files.evaluation) if files.evaluation is not None else None,
        output=str(output),
    )


def _train(held: Claim, record: Record, command: str, view: View) -> int:
    keeper = StatusKeeper(held.folder, restored(held.folder, record), view.event, view.notify)
    launch = run.Launch(
        command=run.launch_command(record.job_file),
        log=held.folder / STATE_FOLDER / run.LOG,
        lock_fd=held.lock_fd,
        environment={COMMAND: command, **_devices(record)},
    )
    try:
        keeper.start()
    except OSError as e:
        raise unwritable(held.folder, e) from e
    view.begin(record, keeper.status)
    code = run.train(launch, keeper.take, view.notify)
    try:
        write_metrics(held.folder, record)
    except OSError as e:
        # the run is what it is without
        view.notify(f"{held.folder / METRICS_FILE} can't be written ({e.strerror})")
    return code


def _devices(record: Record) -> dict[str, str]:
    """The GPUs that the trainer may see: as many as planned, the freest of the planned product."""
    if record.product is None:
        return {}
    return {VISIBLE: ",".join(devices_for(record.product, record.devices))}
