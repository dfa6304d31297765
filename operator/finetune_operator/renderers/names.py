"""Names, labels and owners of everything that a job is made of in a cluster."""

import hashlib
import json
from typing import Any, Final

from finetune_operator.api.resource import FineTuneJob, Identity
from finetune_operator.constants import API_VERSION, GROUP, KIND

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "finetune-operator"
"""Value of MANAGED_BY, and the field manager of all that we write."""

JOB_LABEL: Final = f"{GROUP}/job"
"""Name of the FineTuneJob."""

COMPONENT_LABEL: Final = "app.kubernetes.io/component"
ATTEMPT_LABEL: Final = f"{GROUP}/attempt"
"""Number of an attempt, from 1; on its Job, Service and pods."""

OUTPUT_LABEL: Final = f"{GROUP}/output"
"""Where an attempt's pods write, as a hash: two runs never write to one place at once."""

PLACEMENT_ANNOTATION: Final = f"{GROUP}/placement"
"""On an attempt's Job: what its pods hold, as JSON."""

OPTION_ANNOTATION: Final = f"{GROUP}/option"
HASH_ANNOTATION: Final = f"{GROUP}/hash"
"""On a run's ConfigMap: of the files that the trainer starts with."""

TRAINER: Final = "trainer"
"""Value of COMPONENT_LABEL of what trains."""

TRAINER_CONTAINER: Final = "trainer"
FACTS_FILE: Final = "facts.json"
"""Key of a ConfigMap: what an inspection read."""

FORMAT: Final = 2
"""Of requests and facts: raised when either changes, since what has been written is immutable."""

_UID_DIGITS: Final = 8
_HASH_DIGITS: Final = 8
_OUTPUT_DIGITS: Final = 16


def stem(identity: Identity) -> str:
    """What all names begin with: a job that is deleted and applied again meets nothing of the old one's."""
    return f"{identity.name}-{identity.uid.replace('-', '')[:_UID_DIGITS]}"


def attempt_name(identity: Identity, number: int) -> str:
    """Of an attempt's Job and Service: a DNS label of at most 63 characters."""
    return f"{stem(identity)}-{number}"


def facts_name(identity: Identity, job: FineTuneJob) -> str:
    """Of the ConfigMap with the facts of what the spec names now: another model or other rows are other facts."""
    return f"{stem(identity)}-facts-{_looked_at(job)}"


def inspection_name(identity: Identity, job: FineTuneJob) -> str:
    """Of the Job that reads what the spec names now, and of the ConfigMap that tells it what to read."""
    return f"{stem(identity)}-look-{_looked_at(job)}"


def output_of(job: FineTuneJob) -> str:
    """What OUTPUT_LABEL calls the place that a job writes to; empty where it isn't one of a cluster."""
    volume = job.spec.output.volume
    if volume is None:
        return ""
    parts = [p for p in volume.path.split("/") if p not in {"", "."}]
    return hashlib.sha256("/".join((volume.claim_name, *parts)).encode()).hexdigest()[:_OUTPUT_DIGITS]


def run_name(identity: Identity, digest: str) -> str:
    """Of the ConfigMap that a run is started with.

    Args:
        identity: the job.
        digest: sha256:… of its files.
    """
    return f"{stem(identity)}-run-{digest.removeprefix('sha256:')[:_HASH_DIGITS]}"


def metadata(identity: Identity, name: str, component: str, **labels: str) -> dict[str, Any]:
    """Of an object that goes with the job."""
    return {
        "name": name,
        "namespace": identity.namespace,
        "labels": labels_of(identity, component, **labels),
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": identity.name,
                "uid": identity.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            },
        ],
    }


def labels_of(identity: Identity, component: str, **labels: str) -> dict[str, str]:
    """Labels of an object of the job's; keyword arguments stand for labels of our group."""
    ours = {f"{GROUP}/{name}": value for name, value in labels.items()}
    return {MANAGED_BY: MANAGER, COMPONENT_LABEL: component, JOB_LABEL: identity.name, **ours}


def _looked_at(job: FineTuneJob) -> str:
    spec = job.spec
    what = [FORMAT, spec.model.model_dump(mode="json"), spec.dataset.model_dump(mode="json"), spec.training.seed]
    text = json.dumps(what, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]
