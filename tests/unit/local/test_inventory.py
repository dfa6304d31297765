"""This machine as planning capacity."""

from pathlib import Path

import pytest

from finetune_operator.api.spec import Accelerator
from finetune_operator.local import inventory
from finetune_operator.local.gpu import Gpu
from finetune_operator.local.inventory import devices_for, gpu_classes, has_nvme, read_capacity, read_free_disk
from finetune_operator.units import GIB, Bytes
from tests.unit.local.test_gpu import gpu


@pytest.fixture
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "read_gpus", lambda: ())


def have(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu) -> None:
    monkeypatch.setattr(inventory, "read_gpus", lambda: gpus)


@pytest.mark.usefixtures("no_gpus")
@pytest.mark.parametrize("asked", [None, Accelerator.CPU, Accelerator.GPU])
def test_a_machine_without_gpus_is_one_cpu_node(tmp_path: Path, asked: Accelerator | None) -> None:
    capacity = read_capacity(tmp_path / "not" / "there" / "yet", asked)
    (node,) = capacity.classes
    assert (node.device.accelerator, node.devices_per_node, node.nodes) == (Accelerator.CPU, 1, 1)
    assert node.device.memory == node.ram
    assert node.cores >= 1
    assert node.disk > 0
    assert capacity.origin == "this machine"


@pytest.mark.usefixtures("no_gpus")
def test_a_cpu_is_trained_on_as_one_device(tmp_path: Path) -> None:
    assert read_capacity(tmp_path).max_devices == 1


def test_all_usable_gpus_of_a_kind_train_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, gpu("GPU-a"), gpu("GPU-b"), gpu("GPU-busy", free=1), gpu("GPU-t", product="Tesla T4"))
    assert read_capacity(tmp_path).max_devices == 2


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        pytest.param(None, [Accelerator.GPU], id="gpus-are-what-a-machine-with-gpus-trains-on"),
        pytest.param(Accelerator.GPU, [Accelerator.GPU], id="gpu-asked-for"),
        pytest.param(Accelerator.CPU, [Accelerator.GPU, Accelerator.CPU], id="cpu-asked-for"),
    ],
)
def test_a_machine_with_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Accelerator | None, kinds: list[Accelerator]
) -> None:
    have(monkeypatch, gpu("GPU-a"))
    assert [c.device.accelerator for c in read_capacity(tmp_path, asked).classes] == kinds


def test_gpus_that_are_alike_are_one_class_as_free_as_the_least_free(tmp_path: Path) -> None:
    a10s = [gpu("GPU-a", free=23), gpu("GPU-b", free=20), gpu("GPU-busy", free=1)]
    t4 = gpu("GPU-t", free=15, capability=(7, 5), product="Tesla T4")
    classes = gpu_classes((a10s[0], t4, *a10s[1:]), tmp_path)
    assert [(c.name, c.devices_per_node, c.device.free // GIB, c.device.bf16) for c in classes] == [
        ("NVIDIA A10", 2, 20, True),
        ("Tesla T4", 1, 15, False),
    ]


def test_training_gets_the_freest_gpus_of_the_planned_product(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, gpu("GPU-a", free=20), gpu("GPU-t", product="Tesla T4"), gpu("GPU-b", free=23))
    assert devices_for("NVIDIA A10", 1) == ("GPU-b",)
    assert devices_for("NVIDIA A10", 2) == ("GPU-b", "GPU-a")
    assert devices_for("NVIDIA H100", 1) == ()


def test_the_disk_is_the_outputs_also_before_it_exists(tmp_path: Path) -> None:
    assert read_free_disk(tmp_path / "a" / "b") == pytest.approx(read_free_disk(tmp_path), rel=0.01)
    assert isinstance(read_free_disk(tmp_path), int)
    assert read_free_disk(tmp_path) > Bytes(0)


def test_nvme_is_a_block_device_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "sys/block/sda").mkdir(parents=True)
    assert not has_nvme(tmp_path)
    (tmp_path / "sys/block/nvme0n1").mkdir()
    assert has_nvme(tmp_path)
