"""A file of nodes as capacity."""

from pathlib import Path
from typing import Final

import pytest

from finetune_operator.api.spec import Accelerator
from finetune_operator.exceptions import InvalidManifestError
from finetune_operator.local.nodes_file import HEAD, read_nodes
from finetune_operator.units import GIB

EXAMPLE: Final = Path(__file__).parents[3] / "examples" / "nodes.yaml"

NODE: Final = """\
nodes:
- name: a10
  count: 2
  gpus: {product: NVIDIA A10, memory: 24GiB, count: 4, free: 23GiB}
  cores: 32
  ram: 256GiB
  disk: 900GiB
  nvme: true
  pricePerDeviceHour: "0.75"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "nodes.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_gpu_node_is_read_with_all_it_has(tmp_path: Path) -> None:
    capacity = read_nodes(write(tmp_path, NODE))
    (node,) = capacity.classes
    assert (capacity.origin, capacity.max_devices) == ("nodes.yaml", None)
    assert (node.name, node.nodes, node.devices_per_node, node.cores) == ("a10", 2, 4, 32)
    assert (node.ram, node.free_ram, node.disk, node.nvme) == (256 * GIB, 256 * GIB, 900 * GIB, True)
    assert node.price_per_device_hour == 0.75
    assert (node.device.memory, node.device.free, node.device.bf16) == (24 * GIB, 23 * GIB, True)
    assert node.device.peak_flops == 125e12


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    text = "nodes:\n- {gpus: {product: Tesla T4, memory: 15GiB}, cores: 8, ram: 32GiB, disk: 100GiB}\n"
    (node,) = read_nodes(write(tmp_path, text)).classes
    assert (node.name, node.nodes, node.devices_per_node, node.nvme) == ("1x15g", 1, 1, False)
    assert node.price_per_device_hour is None
    assert (node.device.free, node.device.bf16) == (15 * GIB, False)


def test_a_node_without_gpus_is_one_cpu_device(tmp_path: Path) -> None:
    (node,) = read_nodes(write(tmp_path, "nodes:\n- {cores: 16, ram: 64GiB, disk: 1TiB}\n")).classes
    assert (node.name, node.device.accelerator, node.devices_per_node) == ("cpu-16", Accelerator.CPU, 1)
    assert (node.device.memory, node.device.free) == (64 * GIB, 64 * GIB)
    assert node.device.peak_flops > 0


def test_nodes_that_are_alike_are_one_class_whatever_they_are_called(tmp_path: Path) -> None:
    other = NODE.removeprefix("nodes:\n").replace("a10\n", "spare\n").replace("count: 2", "count: 3")
    larger = other.replace("256GiB", "512GiB")
    classes = read_nodes(write(tmp_path, NODE + other + larger)).classes
    assert [(c.name, c.nodes) for c in classes] == [("a10", 5), ("spare", 3)]


def test_an_unknown_product_is_planned_with_by_its_memory(tmp_path: Path) -> None:
    (node,) = read_nodes(write(tmp_path, NODE.replace("NVIDIA A10", "Acme Accelerator"))).classes
    assert node.device.peak_flops > 0


def test_the_example_has_gpus_of_24_40_and_80_gib() -> None:
    classes = read_nodes(EXAMPLE).classes
    assert [(c.devices_per_node, c.device.memory // GIB) for c in classes] == [(1, 24), (4, 40), (8, 80)]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param(
            "memory: 24GiB", "memory: 24GB",
            'nodes[0].gpus.memory: "24GB" is a decimal unit; memory is counted in binary units here: write "24GiB"',
            id="decimal-unit",
        ),
        pytest.param("memory: 24GiB", "memory: 24", "nodes[0].gpus.memory: 24 has no unit; write 24GiB", id="no-unit"),
        pytest.param(
            "memory: 24GiB", 'memory: "24"', 'nodes[0].gpus.memory: "24" has no unit; write "24GiB"', id="quoted-number"
        ),
        pytest.param(
            "memory: 24GiB", "memory: 0GiB", "nodes[0].gpus.memory: 0GiB is no memory; write for example 24GiB",
            id="none",
        ),
        pytest.param(
            "free: 23GiB", "free: 25GiB",
            "nodes[0].gpus.free: 25GiB is more than memory, 24GiB; write a part of it",
            id="more-free-than-there-is",
        ),
        pytest.param("count: 4", "count: 0", "nodes[0].gpus.count: 0 is too small; write at least 1", id="no-gpu"),
        pytest.param(
            "count: 4", "number: 4",
            "nodes[0].gpus.number: unknown field; what can be here: product, memory, count, free",
            id="unknown-field",
        ),
    ],
)  # fmt: skip
def test_a_wrong_gpu_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in NODE
    with pytest.raises(InvalidManifestError) as caught:
        read_nodes(write(tmp_path, NODE.replace(old, new)))
    assert str(caught.value) == f"{tmp_path}/nodes.yaml:4: {told}"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param("  cores: 32\n", "", "nodes[0].cores: is missing; write a whole number", id="missing"),
        pytest.param("cores: 32", 'cores: "32"', 'nodes[0].cores: "32" is a string; write it without quotes: 32',
                     id="quoted-count"),
        pytest.param("ram: 256GiB", "ram: lots", 'nodes[0].ram: "lots" is not a memory size; write for example "24GiB"',
                     id="no-quantity"),
        pytest.param("nvme: true", "nvme: 1", "nodes[0].nvme: 1 is an integer; write true or false", id="boolean"),
        pytest.param("nvme: true", 'nvme: "yes"', 'nodes[0].nvme: "yes" is a string; write it without quotes: yes',
                     id="quoted-boolean"),
        pytest.param('"0.75"', "0.75", 'nodes[0].pricePerDeviceHour: 0.75 is a float; write it as a string: "0.75"',
                     id="float"),
        pytest.param("pricePerDeviceHour", "price", "nodes[0].price: unknown field; did you mean pricePerDeviceHour?",
                     id="beginning-of-a-name"),
    ],
)  # fmt: skip
def test_a_wrong_node_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in NODE
    with pytest.raises(InvalidManifestError) as caught:
        read_nodes(write(tmp_path, NODE.replace(old, new)))
    assert str(caught.value).partition(": ")[2] == told


@pytest.mark.parametrize(
    ("text", "told"),
    [("", f": is empty; {HEAD}"), ("nodes: []\n", ":1: nodes: is empty; write a list with at least one entry"),
     ("- a\n", ":1: is a list; write below it: nodes")],
    ids=["empty", "no-nodes", "bare-list"],
)  # fmt: skip
def test_a_file_without_nodes_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidManifestError) as caught:
        read_nodes(path)
    assert str(caught.value) == f"{path}{told}"
