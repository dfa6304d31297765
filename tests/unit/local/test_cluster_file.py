"""Objects of a cluster in a file."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from finetune_operator.exceptions import InvalidManifestError
from finetune_operator.local.cluster_file import COMMAND, NO_PODS, read_nodes_file
from finetune_operator.local.strict_yaml import MAX_BYTES
from tests.unit.planner.cluster_objects import H100, make_claim, make_device, make_node, make_pod, make_slice

CLUSTER: Final = Path(__file__).parents[2] / "data" / "cluster" / "list.yaml"
"""A small cluster as kubectl writes it."""

NODES: Final = [make_node("a", gpus=8, labels=H100), make_node("b")]


def write(folder: Path, value: Any, name: str = "nodes.json") -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def as_list(*items: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def test_a_list_is_read_with_all_its_kinds(tmp_path: Path) -> None:
    items = [
        *NODES,
        make_node("c"),
        make_slice("c", [make_device("gpu-0"), make_device("gpu-1")]),
        make_claim("x", ("c", "gpu-0")),
        make_pod("p", "a", requests={"nvidia.com/gpu": "3"}),
        {"kind": "DeviceClass", "metadata": {"name": "gpu.nvidia.com"}},
    ]
    capacity = read_nodes_file(write(tmp_path, as_list(*items)))
    assert (capacity.origin, dict(capacity.notes)) == ("nodes.json", {})
    found = {c.resource: c.free_devices for c in capacity.classes}
    assert found == {"nvidia.com/gpu": ((5, 1),), "gpu.nvidia.com": ((1, 1),), "": ()}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(as_list(*NODES), id="json"),
        pytest.param(yaml.safe_dump(as_list(*NODES)), id="yaml"),
        pytest.param(yaml.safe_dump_all(NODES), id="yaml-documents"),
        pytest.param({"kind": "NodeList", "items": [{k: v for k, v in n.items() if k != "kind"} for n in NODES]},
                     id="items-of-one-kind"),
    ],
)  # fmt: skip
def test_every_form_that_kubectl_writes_is_read(tmp_path: Path, value: Any) -> None:
    capacity = read_nodes_file(write(tmp_path, value, "nodes.txt"))
    assert [c.nodes for c in capacity.classes] == [1, 1]
    assert dict(capacity.notes) == {NO_PODS: 0}


def test_one_node_is_a_cluster_too(tmp_path: Path) -> None:
    assert len(read_nodes_file(write(tmp_path, NODES[0])).classes) == 1


def test_a_list_may_be_larger_than_a_manifest(tmp_path: Path) -> None:
    padded = make_node("c", labels={f"label-{i}": "x" * 60 for i in range(20_000)})
    path = write(tmp_path, as_list(*NODES, padded))
    assert path.stat().st_size > MAX_BYTES
    assert sum(c.nodes for c in read_nodes_file(path).classes) == 3


def test_the_own_format_stays_what_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, "nodes:\n- {cores: 16, ram: 64GiB, disk: 1TiB, name: 'kind: List'}\n", "nodes.yaml")
    assert [c.name for c in read_nodes_file(path).classes] == ["kind: List"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param('{"kind": "List",\n "items": [}', ":2: is not JSON: Expecting value (column 12)", id="json"),
        pytest.param("kind: List\nitems: [\n", ":3: is not YAML: did not find expected node content", id="yaml"),
        pytest.param(json.dumps(as_list(make_pod("p", "a"))), f" holds no Node; write it with {COMMAND}", id="no-node"),
        pytest.param("kind: List\nitems: []\n", f" holds no Node; write it with {COMMAND}", id="empty"),
        pytest.param("nodes:\n- cores: 16\n", ":2: nodes[0].ram: is missing", id="own-format"),
        pytest.param("x" * (MAX_BYTES + 1), f": is no list of a cluster's nodes; write one with {COMMAND}", id="large"),
    ],
)  # fmt: skip
def test_a_file_that_is_neither_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidManifestError) as caught:
        read_nodes_file(write(tmp_path, text, "nodes"))
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifestError, match="there is no such file"):
        read_nodes_file(tmp_path / "none.json")


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    path.write_bytes(b"kind: List\n\xff\xfe\n")
    with pytest.raises(InvalidManifestError, match=":2: is not UTF-8"):
        read_nodes_file(path)


def test_a_whole_small_cluster(tmp_path: Path) -> None:
    del tmp_path
    capacity = read_nodes_file(CLUSTER)
    assert [(c.resource, c.device.product, c.nodes, c.devices_per_node, c.free_devices) for c in capacity.classes] == [
        ("nvidia.com/gpu", "NVIDIA-H100-80GB-HBM3", 2, 8, ((8, 1), (4, 1))),
        ("gpu.nvidia.com", "NVIDIA H100 80GB HBM3", 1, 2, ((1, 1),)),
        ("mig.nvidia.com", "NVIDIA H100 80GB HBM3 MIG 3g.40gb", 1, 2, ((2, 1),)),
        ("nvidia.com/gpu", "NVIDIA A10G", 1, 1, ((1, 1),)),
        ("", "CPU", 1, 1, ()),
    ]
    assert {u.product for u in capacity.unsupported} == {"AMD Instinct MI300X OAM", "Intel Gaudi"}
    assert sum(capacity.left_out.values()) == 3
