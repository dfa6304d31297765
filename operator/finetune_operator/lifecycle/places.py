"""Paths that a pod tells, as those on the volume that its job names: where a pod mounts it is of no use to anybody."""

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.renderers.places import in_pod
from finetune_trainer.events import CheckpointEvent, Event, ResultEvent, ResumeEvent


def on_volume(event: Event, job: FineTuneJob | None) -> Event:
    """The event with its places below the output volume's root; as it is where the spec can't be read any more."""
    if job is None or job.spec.output.volume is None:
        return event
    mounted, path = in_pod(job).places.output, job.spec.output.volume.path
    match event:
        case ResultEvent():
            named: tuple[str, ...] = ("output", "report")
        case CheckpointEvent() | ResumeEvent():
            named = ("path",)
        case _:
            return event
    return event.model_copy(update={name: _below(getattr(event, name), mounted, path) for name in named})


def _below(told: str, mounted: str, path: str) -> str:
    if told != mounted and not told.startswith(f"{mounted}/"):
        return told
    parts = [p for p in (*path.split("/"), *told[len(mounted) :].split("/")) if p not in {"", "."}]
    return "/".join(parts) or "."
