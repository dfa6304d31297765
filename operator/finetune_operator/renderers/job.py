"""The Indexed Job of one attempt: one pod a node, all of them or none."""

import re
from typing import Any, Final

from finetune_operator.api.resource import FineTuneJob, Identity
from finetune_operator.api.spec import Accelerator
from finetune_operator.planner.cluster.labels import (
    GKE_PARTITION,
    GPU_PRESENT,
    INSTANCE_TYPE,
    PRODUCT_LABELS,
    WHOLE_GPU,
)
from finetune_operator.planner.cluster.nodes import ARM
from finetune_operator.renderers import names
from finetune_operator.renderers.claims import CLAIM, by_claim, pod_claims
from finetune_operator.renderers.inspection import rows_bytes
from finetune_operator.renderers.placement import SHARED_MEMORY, Placement
from finetune_operator.renderers.places import CONFIG, in_pod
from finetune_operator.renderers.pod import PYTHON, pod_spec
from finetune_operator.renderers.service import master_address
from finetune_operator.renderers.settings import RenderSettings
from finetune_trainer.job_config import JOB_FILE

MASTER_VARIABLE: Final = "FINETUNE_MASTER"
"""Tells the trainer where rank 0 listens."""

ARCH: Final = "kubernetes.io/arch"
"""Label of a node's processor."""

HOST: Final = "kubernetes.io/hostname"

_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def render_attempt(
    job: FineTuneJob,
    identity: Identity,
    config_map: str,
    placement: Placement,
    number: int,
    settings: RenderSettings,
) -> dict[str, Any]:
    """The Job.

    Args:
        job: the resource.
        identity: which one it is.
        config_map: what the run is started with.
        placement: where its pods go and what they hold.
        number: of the attempt, from 1.
        settings: of the platform.
    """
    name, labels = names.attempt_name(identity, number), {"attempt": str(number)}
    output = names.output_of(job)
    several = placement.nodes > 1
    environment = [{"name": MASTER_VARIABLE, "value": master_address(identity, number)}] if several else []
    spec = pod_spec(
        job,
        settings,
        in_pod(job).mounts,
        config_map,
        command=[PYTHON, "-m", "finetune_trainer.launch", f"{CONFIG}/{JOB_FILE}"],
        environment=environment,
        resources=_resources(placement),
        weights=True,
        work=settings.scratch
        + rows_bytes(job)
        + (placement.model_bytes if job.spec.model.source.hub is not None else 0),
        shared_memory=SHARED_MEMORY * placement.devices_per_node,
        grace=settings.grace_seconds,
        commit=placement.commit,
    )
    tolerations = [*spec.get("tolerations", ()), *_tolerations(placement)]
    if tolerations:
        spec["tolerations"] = tolerations
    if several:
        spec["subdomain"] = name
    if by_claim(placement):
        spec["resourceClaims"] = pod_claims(identity, number)
    affinity = _affinity(identity, placement, labels)
    if affinity:
        spec["affinity"] = affinity
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            **names.metadata(identity, name, "trainer", **labels, output=output),
            "annotations": {names.PLACEMENT_ANNOTATION: placement.model_dump_json(by_alias=True)},
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": placement.nodes,
            "parallelism": placement.nodes,
            # one index that failed leaves the others and their logs: the attempt is ended as a whole, by us
            "backoffLimitPerIndex": 0,
            # a pod that is on its way out still holds its devices
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {"labels": names.labels_of(identity, "trainer", **labels, output=output)},
                "spec": spec,
            },
        },
    }


def _tolerations(placement: Placement) -> list[dict[str, str]]:
    """Of taints that keep other pods off devices: plans count such nodes, and not every cluster adds these itself."""
    keys = dict.fromkeys((placement.resource, WHOLE_GPU)) if placement.resource else ()
    return [{"key": key, "operator": "Exists"} for key in keys]


def _resources(placement: Placement) -> dict[str, Any]:
    plugged = placement.resource and not by_claim(placement)
    devices = {placement.resource: str(placement.devices_per_node)} if plugged else {}
    held = {"memory": str(placement.host_memory), **devices}
    claims = {"claims": [{"name": CLAIM}]} if by_claim(placement) else {}
    disk = {"ephemeral-storage": str(placement.disk)} if placement.disk else {}
    return {"requests": {"cpu": str(placement.cores), **disk, **held}, "limits": held, **claims}


def _affinity(identity: Identity, placement: Placement, labels: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    terms = _product_terms(placement)
    if terms:
        found["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    if placement.nodes > 1:
        selector = {"matchLabels": names.labels_of(identity, "trainer", **labels)}
        found["podAntiAffinity"] = {
            "requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": selector, "topologyKey": HOST}],
        }
    return found


def _product_terms(placement: Placement) -> list[dict[str, Any]]:
    """Nodes with the planned product, by whichever label tells it; one term is enough."""
    if placement.accelerator is Accelerator.CPU:
        return [_processor(placement)]
    if by_claim(placement):
        # the claim says which devices
        return []
    if placement.instance_types:
        return [_term(_in(INSTANCE_TYPE, *placement.instance_types))]
    if _LABEL_VALUE.fullmatch(placement.product) is None:
        # not of a label
        return []
    whole, _, profile = placement.product.partition("-MIG-")
    own = f"{placement.resource}.product"
    # the device plugin names slices of the strategy "mixed" by their resource; others are told by a label
    sliced = _in(GKE_PARTITION, profile) if profile else _absent(GKE_PARTITION)
    cloud = [sliced] if placement.resource == WHOLE_GPU else []
    others = [key for key in PRODUCT_LABELS if key != own]
    return [_term(_in(own, placement.product)), *(_term(_in(key, whole), *cloud, _absent(own)) for key in others)]


def _processor(placement: Placement) -> dict[str, Any]:
    """Nodes of the planned architecture without GPUs: those are planned with for their GPUs alone."""
    architecture = {"key": ARCH, "operator": "In" if placement.product == ARM else "NotIn", "values": ["arm64"]}
    present = {"key": GPU_PRESENT, "operator": "NotIn", "values": ["true"]}
    return _term(architecture, present, *map(_absent, PRODUCT_LABELS))


def _term(*expressions: dict[str, Any]) -> dict[str, Any]:
    return {"matchExpressions": list(expressions)}


def _in(key: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": list(values)}


def _absent(key: str) -> dict[str, Any]:
    return {"key": key, "operator": "DoesNotExist"}
