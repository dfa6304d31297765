"""A report copied from a job's output volume, by a pod that is gone afterwards, whatever happens."""

import json
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, Final

from finetune_operator.exceptions import ClusterError, OutputConflictError
from finetune_operator.local.cluster_job import ClusterJob
from finetune_operator.local.kubectl import Kubectl, NotFoundError
from finetune_operator.local.unpack import unpack
from finetune_operator.renderers.names import TRAINER_CONTAINER
from finetune_operator.renderers.repeat import CONFIG_FILE
from finetune_operator.renderers.report_pod import CONTAINER, ReportPod, pack_command, render_report_pod
from finetune_trainer.events import CURVES, REPORT_FILE, ROWS_FILE

READY_SECONDS: Final = 300
"""Longest wait for the pod: an image that isn't on the node yet is big."""


def trainer_pod(kubectl: Kubectl, job: ClusterJob) -> Mapping[str, Any]:
    """Spec of the pods of the newest attempt; empty where its Job is gone."""
    if not job.status.attempts:
        return {}
    try:
        found = kubectl.ask_json("get", "jobs.batch", job.status.attempts[-1].job)
    except NotFoundError:
        return {}
    spec: Mapping[str, Any] = found["spec"]["template"]["spec"]
    return spec


def trainer_in(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """The trainer's container; empty where there is none."""
    containers = template.get("containers") or ()
    return next((c for c in containers if c.get("name") == TRAINER_CONTAINER), {})


def python_of(trainer: Mapping[str, Any]) -> str:
    """The Python that the trainer is run by, else the one on the path."""
    command = trainer.get("command") or ("",)
    return str(command[0]) if PurePosixPath(str(command[0])).name.startswith("python") else "python"


def check_target(target: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        OutputConflictError: it does, or is a file.
    """
    try:
        taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
    except OSError as e:
        raise OutputConflictError(f"{target}: can't be read: {e.strerror}; write another folder") from e
    if taken:
        raise OutputConflictError(f"{target}: is there already; write the name of a new folder with -o")


def copy_report(kubectl: Kubectl, pod: ReportPod, path: str, target: Path) -> list[str]:
    """Copy the report from a folder of the volume; the names of its files.

    Args:
        kubectl: aimed at the job's namespace.
        pod: to be made.
        path: of the output, below the volume's root.
        target: a new or empty folder; it is complete or not there.

    Raises:
        ClusterError: the pod can't run, or there is no report.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as made:
        new = Path(made) / target.name
        new.mkdir()
        with _running(kubectl, pod):
            names = _copied(kubectl, pod, path, new)
        if REPORT_FILE not in names:
            raise ClusterError(f"{path} on volume {pod.claim} holds no {REPORT_FILE}; the run may have ended before it")
        with suppress(FileNotFoundError):
            target.rmdir()
        shutil.move(new, target)
    return names


def _copied(kubectl: Kubectl, pod: ReportPod, path: str, new: Path) -> list[str]:
    pack = pack_command(pod, path, REPORT_FILE, ROWS_FILE, CONFIG_FILE, CURVES)
    with kubectl.stream("exec", pod.name, f"--container={CONTAINER}", "--", *pack) as stream:
        try:
            names = unpack(stream.chunks(), new, (REPORT_FILE, ROWS_FILE, CONFIG_FILE), (CURVES,))
        except ClusterError:
            # a program that failed has said why: that tells more than half an archive
            stream.finish()
            raise
        stream.finish()
    return names


@contextmanager
def _running(kubectl: Kubectl, pod: ReportPod) -> Iterator[None]:
    """The pod, ready; deleted whatever happens."""
    with _terminated_as_interrupted():
        try:
            kubectl.ask("create", "--filename=-", given=json.dumps(render_report_pod(pod)))
            _await_ready(kubectl, pod.name)
            yield
        finally:
            _delete(kubectl, pod.name)


def _await_ready(kubectl: Kubectl, name: str) -> None:
    try:
        kubectl.ask("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={READY_SECONDS}s")
    except ClusterError as e:
        try:
            why = _obstacle(kubectl.ask_json("get", "pod", name))
        except ClusterError:
            raise e from None
        raise ClusterError(f"the pod that reads the volume isn't ready: {why}") from e


def _obstacle(pod: Mapping[str, Any]) -> str:
    """Why a pod doesn't start, as the scheduler or the kubelet says."""
    status = pod.get("status") or {}
    for c in status.get("conditions") or ():
        if c.get("type") == "PodScheduled" and c.get("status") == "False":
            return str(c.get("message") or c.get("reason"))
    for c in status.get("containerStatuses") or ():
        for state in (c.get("state") or {}).values():
            if state.get("reason"):
                return f"{state['reason']}: {state.get('message') or c.get('image')}"
    return f"its phase is {status.get('phase', 'unknown')}"


def _delete(kubectl: Kubectl, name: str) -> None:
    """Without waiting, and not to be interrupted: a pod that stays would hold the volume."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        kubectl.ask("delete", "pod", name, "--ignore-not-found", "--wait=false", "--now")
    except ClusterError as e:
        kubectl.notify(f"pod {name} can't be deleted ({e}); it ends by itself, and goes with the job")
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM as Ctrl-C: what is to be cleaned up is cleaned up."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def pod_name(job: ClusterJob) -> str:
    """A new one: two people may ask at once."""
    return f"{job.name}-report-{secrets.token_hex(3)}"
