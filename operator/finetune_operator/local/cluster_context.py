"""The cluster of a kubectl context as planning capacity: asked with the user's own kubectl and rights."""

import json
import shutil
import subprocess
from typing import Any, Final

from finetune_operator.api.spec import Hardware
from finetune_operator.exceptions import InvalidManifestError
from finetune_operator.local.children import Notify
from finetune_operator.local.cluster_file import describe_objects
from finetune_operator.planner.capacity import Capacity

TIMEOUT_SECONDS: Final = 120.0
"""Longest time for one kind of objects: a slow link to a cluster with 100,000 pods."""

OPTIONAL: Final = (
    (("pods", "--all-namespaces"), "every device is taken to be free"),
    (("resourceslices.resource.k8s.io",), "devices that are offered by DRA aren't seen"),
    (("resourceclaims.resource.k8s.io", "--all-namespaces"), "every device that is offered by DRA is taken to be free"),
)
"""What a plan can do without, and what that means."""

_MISSABLE: Final = ("the server doesn't have a resource type", "could not find the requested resource", "(Forbidden)")
"""What kubectl says of an API that lacks a kind of objects, and of rights."""


class _RefusedError(Exception):
    """What kubectl answered instead."""


def read_context(context: str, notify: Notify, hardware: Hardware | None = None) -> Capacity:
    """The capacity of the cluster that a context of the user's kubectl leads to.

    Args:
        context: its name.
        notify: told what can't be read, and what that means for the plan.
        hardware: of the job: only nodes that its pods may go to count.

    Raises:
        InvalidManifestError: kubectl is missing, doesn't answer, or refuses.
    """
    if not context.strip():
        raise InvalidManifestError("--context: is empty, which kubectl takes for its current one; write a name")
    program = shutil.which("kubectl")
    if program is None:
        raise _error(context, "kubectl is not installed; install it, or write the objects to a file for --nodes")
    try:
        notify(f"asking kubectl for nodes, pods and resource slices of {context}")
        objects = _get(program, context, "nodes")
        for what, means in OPTIONAL:
            objects += _get_if_there(program, context, what, means, notify)
    except _RefusedError as e:
        raise _error(context, f"kubectl refused: {e}") from e
    except subprocess.TimeoutExpired as e:
        raise _error(context, f"the cluster didn't answer in {TIMEOUT_SECONDS:.0f} s; try again") from e
    except OSError as e:
        raise _error(context, f"{program} can't be run: {e.strerror}") from e
    return describe_objects(objects, context, hardware)


def _get_if_there(program: str, context: str, what: tuple[str, ...], means: str, notify: Notify) -> list[Any]:
    try:
        return _get(program, context, *what)
    except _RefusedError as e:
        if not any(known in str(e) for known in _MISSABLE):
            raise
        notify(f"{what[0]} of {context} can't be read, so {means}: {e}")
        return []


def _get(program: str, context: str, *what: str) -> list[Any]:
    command = (program, f"--context={context}", "get", *what, "--output=json")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise _RefusedError(said[-1].strip() if said else f"it ended with code {done.returncode} and said nothing")
    try:
        found = json.loads(done.stdout)
    except ValueError as e:
        raise _RefusedError(f"its answer is not JSON ({e})") from e
    items = found.get("items") if isinstance(found, dict) else None
    if not isinstance(items, list):
        raise _RefusedError("its answer is not a list of objects")
    return items


def _error(context: str, sentence: str) -> InvalidManifestError:
    return InvalidManifestError(f"--context {context}: {sentence}")
