"""Pods of a job: within Pod Security's restricted profile, without an API token, written to on volumes alone."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.renderers.names import TRAINER_CONTAINER
from finetune_operator.renderers.places import CONFIG, WORK, Fetch, Mounts, fetches
from finetune_operator.renderers.repeat import CONFIG_FILE
from finetune_operator.renderers.settings import RenderSettings
from finetune_trainer.job_config import COMMAND

TERMINATION: Final = "/dev/termination-log"
"""Where a container leaves its last word for the kubelet."""

TERMINATION_VARIABLE: Final = "FINETUNE_TERMINATION"
"""Tells the trainer that path."""

PYTHON: Final = "python"


def pod_spec(  # noqa: PLR0913  a pod is made of all of these
    job: FineTuneJob,
    settings: RenderSettings,
    mounts: Mounts,
    config_map: str,
    *,
    command: Sequence[str],
    environment: Sequence[Mapping[str, Any]] = (),
    resources: Mapping[str, Any],
    weights: bool,
    work: int,
    shared_memory: int = 0,
    grace: int,
    commit: str = "",
) -> dict[str, Any]:
    """A pod's spec.

    Args:
        job: for what the user says of pods, and the model's source.
        settings: of the platform.
        mounts: of model, rows and output.
        config_map: mounted at CONFIG.
        command: of the main container.
        environment: beside ours.
        resources: of the main container.
        weights: whether a model from the hub is fetched whole.
        work: bytes of the node's disk at most.
        shared_memory: bytes of /dev/shm; 0 for the runtime's own 64 MiB.
        grace: seconds from the request to stop to the end by force.
        commit: of a model from the hub; empty for what the job names.
    """
    template = job.spec.pod_template
    volumes, mounted = _own(config_map, work, shared_memory)
    main = _container(
        TRAINER_CONTAINER,
        settings,
        command,
        [*_environment(), _repeated_by(job), *environment],
        [*mounted, *mounts.mounts],
        resources,
    )
    wanted = fetches(job.spec, commit, weights=weights)
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # a container's first process ignores a request to stop until it has a handler; with the pause container as the
        # first one, a trainer that is only starting ends at once, and not by force when its grace is over
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": grace,
        "securityContext": _security(settings),
        "containers": [main],
        "volumes": [*volumes, *mounts.volumes],
    }
    if wanted:
        spec["initContainers"] = [_fetch(fetch, settings, mounted) for fetch in wanted]
    if job.spec.hardware.node_selector:
        spec["nodeSelector"] = dict(job.spec.hardware.node_selector)
    if job.spec.hardware.tolerations:
        spec["tolerations"] = [
            t.model_dump(mode="json", by_alias=True, exclude_none=True) for t in job.spec.hardware.tolerations
        ]
    if template.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": s.name} for s in template.image_pull_secrets]
    if template.priority_class_name:
        spec["priorityClassName"] = template.priority_class_name
    if template.service_account_name:
        spec["serviceAccountName"] = template.service_account_name
    return spec


def _container(
    name: str,
    settings: RenderSettings,
    command: Sequence[str],
    environment: Sequence[Mapping[str, Any]],
    mounts: Sequence[Mapping[str, Any]],
    resources: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "name": name,
        "image": settings.trainer_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": list(command),
        "env": list(environment),
        "resources": resources,
        "volumeMounts": list(mounts),
        "terminationMessagePath": TERMINATION,
        # what our own code couldn't say, its last lines do
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def _repeated_by(job: FineTuneJob) -> dict[str, str]:
    """The command that the report tells: paths of a pod are of no use to who reads it."""
    namespace = job.metadata.namespace
    where = f" --namespace {namespace}" if namespace else ""
    return {"name": COMMAND, "value": f"kubectl apply{where} -f {CONFIG_FILE}"}


def _environment() -> list[dict[str, str]]:
    values = {
        "HOME": f"{WORK}/home",
        "TMPDIR": "/tmp",  # noqa: S108  a volume of the pod's own
        "HF_HOME": f"{WORK}/home/huggingface",
        "PYTHONUNBUFFERED": "1",
        TERMINATION_VARIABLE: TERMINATION,
    }
    return [{"name": name, "value": value} for name, value in values.items()]


def _security(settings: RenderSettings) -> dict[str, Any]:
    return {
        "runAsNonRoot": True,
        "runAsUser": settings.user,
        "runAsGroup": settings.user,
        "fsGroup": settings.user,
        # a large volume's owner isn't set anew file by file at each start
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _own(config_map: str, work: int, shared_memory: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": config_map}},
        {"name": "work", "emptyDir": {"sizeLimit": str(work)}},
        {"name": "tmp", "emptyDir": {}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "config", "mountPath": CONFIG, "readOnly": True},
        {"name": "work", "mountPath": WORK},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  likewise
    ]
    if shared_memory:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(shared_memory)}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108  likewise
    return volumes, mounts


def _fetch(fetch: Fetch, settings: RenderSettings, mounts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Gets something from the hub, once a node; the only container with its token, and without what is mounted."""
    hub = fetch.source
    command = [PYTHON, "-m", "finetune_trainer.fetch", hub.repo, hub.revision, fetch.folder, *fetch.options]
    environment: list[Mapping[str, Any]] = [*_environment()]
    if hub.token_secret_ref is not None:
        reference = {"name": hub.token_secret_ref.name, "key": hub.token_secret_ref.key}
        environment.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}})
    resources = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
    return _container(fetch.container, settings, command, environment, mounts, resources)
