"""What a job has in the cluster: Jobs and their pods."""

from collections.abc import Mapping
from typing import Any, Final

from finetune_operator.exceptions import ClusterError
from finetune_operator.local.cluster_job import ClusterJob
from finetune_operator.local.kubectl import Kubectl
from finetune_operator.renderers.names import ATTEMPT_LABEL, JOB_LABEL

INDEX: Final = "batch.kubernetes.io/job-completion-index"
"""Label of a pod of an Indexed Job: the rank of its node."""

JOB_NAME: Final = "batch.kubernetes.io/job-name"
"""Label of a Job's pods."""

Object = Mapping[str, Any]


def newest_attempt(kubectl: Kubectl, job: ClusterJob) -> Object | None:
    """The Job of the newest attempt; None where there is none, or none any more."""
    found = _own_jobs(kubectl, job, attempts=True)
    return found[-1] if found else None


def inspection(kubectl: Kubectl, job: ClusterJob) -> Object | None:
    """The newest Job that looked at model and data; None where there is none, or none any more."""
    found = _own_jobs(kubectl, job, attempts=False)
    return found[-1] if found else None


def pod_of(kubectl: Kubectl, job: Object, index: int) -> str:
    """Name of the newest pod of that index.

    Raises:
        ClusterError: there is no such pod.
    """
    name = job["metadata"]["name"]
    pods = _in_order(kubectl.ask_json("get", "pods", f"--selector={JOB_NAME}={name}"))
    found = [p["metadata"]["name"] for p in pods if _index(p) == index]
    if found:
        return str(found[-1])
    if not pods:
        raise ClusterError(f"{name} has no pod yet, or none any more: they go with the Job")
    there = ", ".join(str(i) for i in sorted({_index(p) for p in pods}))
    raise ClusterError(f"{name} has no pod {index}; write --rank with one of {there}")


def _own_jobs(kubectl: Kubectl, job: ClusterJob, *, attempts: bool) -> list[Object]:
    found = _in_order(kubectl.ask_json("get", "jobs.batch", f"--selector={JOB_LABEL}={job.name}"))
    own = [j for j in found if any(o.get("uid") == job.uid for o in j["metadata"].get("ownerReferences") or ())]
    return [j for j in own if (ATTEMPT_LABEL in (j["metadata"].get("labels") or {})) is attempts]


def _in_order(found: Mapping[str, Any]) -> list[Object]:
    """The oldest first."""
    return sorted(found.get("items") or (), key=lambda o: str(o["metadata"].get("creationTimestamp")))


def _index(pod: Object) -> int:
    return int((pod["metadata"].get("labels") or {}).get(INDEX, 0))
