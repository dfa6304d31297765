"""A file with objects of a Kubernetes cluster as planning capacity."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from finetune_operator.api.spec import Hardware
from finetune_operator.exceptions import InvalidManifestError
from finetune_operator.local.nodes_file import HEAD, describe_nodes, read_nodes
from finetune_operator.local.strict_yaml import MAX_BYTES, parse_document
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.cluster.state import read_capacity

MOST_BYTES: Final = 512 * 1024**2
"""Largest file of objects that is read: 5,000 nodes with 100,000 pods are some 400 MiB."""

COMMAND: Final = "kubectl get nodes,pods,resourceslices,resourceclaims -A -o json"
"""What writes such a file."""

LISTS: Final = frozenset({"List", "NodeList", "Node"})
"""Kinds by which such a file is known."""

NO_PODS: Final = "no pods are in it: every device is taken to be free"
"""A note."""

NO_LABELS: Final = "nodes of a file have no labels: hardware.nodeSelector leaves none of them out"
"""Likewise."""

_KIND: Final = re.compile(
    r"""^kind:\s*["']?(?:List|NodeList|Node)["']?\s*$|"kind"\s*:\s*"(?:List|NodeList|Node)\"""", re.MULTILINE
)


def read_nodes_file(path: Path, hardware: Hardware | None = None) -> Capacity:
    """The capacity in a file: of our own format, or objects of a cluster as kubectl writes them.

    Args:
        path: the file.
        hardware: of the job: only nodes that its pods may go to count.

    Raises:
        InvalidManifestError: the file can't be read, or is neither.
    """
    if not path.is_file() and path.parts[:2] != ("/", "dev"):
        return _unlabelled(read_nodes(path), hardware)
    text = _read(path)
    objects = _objects(str(path), text) if _KIND.search(text) else None
    if objects is not None:
        return describe_objects(objects, path.name, hardware)
    if len(text) > MAX_BYTES:
        raise InvalidManifestError(f"{path}: is no list of a cluster's nodes; write one with {COMMAND}")
    return _unlabelled(describe_nodes(parse_document(str(path), text, HEAD), path.name), hardware)


def _unlabelled(capacity: Capacity, hardware: Hardware | None) -> Capacity:
    """Described nodes have neither labels nor taints."""
    if hardware is None or not hardware.node_selector:
        return capacity
    return replace(capacity, notes={**capacity.notes, NO_LABELS: 0})


def describe_objects(objects: Iterable[Any], origin: str, hardware: Hardware | None = None) -> Capacity:
    """The capacity of a cluster's objects, as far as a job's pods may go there.

    Raises:
        InvalidManifestError: there is no node among them.
    """
    kinds: defaultdict[str, list[Any]] = defaultdict(list)
    for found in objects:
        kind = found.get("kind") if isinstance(found, Mapping) else None
        kinds[kind if isinstance(kind, str) else "Node"].append(found)
    if not kinds["Node"]:
        raise InvalidManifestError(f"{origin}: holds no Node; write it with {COMMAND}")
    asked = hardware or Hardware()
    capacity = read_capacity(
        kinds["Node"],
        kinds["Pod"],
        kinds["ResourceSlice"],
        kinds["ResourceClaim"],
        selector=asked.node_selector,
        tolerations=[t.model_dump(mode="json", by_alias=True, exclude_none=True) for t in asked.tolerations],
        origin=origin,
    )
    return capacity if kinds["Pod"] else replace(capacity, notes={**capacity.notes, NO_PODS: 0})


def _read(path: Path) -> str:
    try:
        with path.open("rb") as f:
            content = f.read(MOST_BYTES + 1)
    except OSError as e:
        raise InvalidManifestError(f"{path}: can't be read: {e.strerror}") from e
    if len(content) > MOST_BYTES:
        raise InvalidManifestError(f"{path}: is larger than 512 MiB, so it is no such file; write it with {COMMAND}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = content[: e.start].count(b"\n") + 1
        raise InvalidManifestError(f"{path}:{line}: is not UTF-8; save the file as UTF-8") from e


def _objects(name: str, text: str) -> list[Any] | None:
    """The objects of all documents; None where the documents are no lists of objects after all."""
    try:
        documents = [json.loads(text)] if text.lstrip().startswith("{") else list(yaml.load_all(text, _loader()))
    except json.JSONDecodeError as e:
        raise InvalidManifestError(f"{name}:{e.lineno}: is not JSON: {e.msg} (column {e.colno})") from e
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark is not None else 1
        raise InvalidManifestError(f"{name}:{line}: is not YAML: {e.problem}") from e
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise InvalidManifestError(f"{name}: can't be understood ({e}); write it with {COMMAND}") from e
    whole = [d for d in documents if d is not None]
    if not any(isinstance(d, Mapping) and d.get("kind") in LISTS for d in whole):
        return None
    return [found for document in whole for found in _items(document)]


def _items(document: Any) -> list[Any]:
    """What a list holds; another object is itself."""
    items = document.get("items") if isinstance(document, Mapping) else None
    return items if isinstance(items, list) else [document]


def _loader() -> Any:
    """The fast loader where PyYAML was built with it."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)
