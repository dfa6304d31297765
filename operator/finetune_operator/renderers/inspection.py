"""The Job that reads model and data where they are: no device, seconds."""

from typing import Any, Final

from finetune_operator.api.resource import FineTuneJob, Identity
from finetune_operator.api.surroundings import placed_data
from finetune_operator.renderers import names
from finetune_operator.renderers.inspection_request import REQUEST_FILE
from finetune_operator.renderers.places import CONFIG, in_pod
from finetune_operator.renderers.pod import PYTHON, pod_spec
from finetune_operator.renderers.settings import RenderSettings

RESOURCES: Final = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}}
"""Rows are read one after the other; what is kept of each are hashes and lengths."""

WORK: Final = 1 << 30
"""Bytes of disk: a tokenizer, a config and an adapter."""

ROWS: Final = 64 << 30
"""Bytes of disk beside it at most, where rows are from the hub."""

GRACE: Final = 5
"""Seconds: nothing is lost by ending it."""


def rows_bytes(job: FineTuneJob) -> int:
    """What rows from the hub may take at most of a node's disk; 0 where there are none."""
    return ROWS if any(p.source.hub is not None for p in placed_data(job.spec)) else 0


def render_inspection(job: FineTuneJob, identity: Identity, settings: RenderSettings) -> dict[str, Any]:
    """The Job; it is asked what its ConfigMap of the same name says."""
    name = names.inspection_name(identity, job)
    command = [PYTHON, "-m", "finetune_trainer.inspection", "--config", f"{CONFIG}/{REQUEST_FILE}"]
    spec = pod_spec(
        job,
        settings,
        in_pod(job, with_output=False).mounts,
        name,
        command=command,
        resources=RESOURCES,
        weights=False,
        work=WORK + rows_bytes(job),
        grace=GRACE,
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": names.metadata(identity, name, "inspection"),
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": {"labels": names.labels_of(identity, "inspection")}, "spec": spec},
        },
    }
