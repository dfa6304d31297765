"""Which GPUs a process may use, and which of those are ours to plan with."""

import pynvml
import pytest

from finetune_operator.exceptions import InfeasibleError
from finetune_operator.local.gpu import Gpu, read_gpus, usable, visible
from finetune_operator.units import GIB, Bytes


def gpu(uuid: str, free: int = 24, capability: tuple[int, int] = (8, 6), product: str = "NVIDIA A10") -> Gpu:
    return Gpu(uuid=uuid, product=product, memory=Bytes(24 * GIB), free=Bytes(free * GIB), capability=capability)


FOUR = tuple(gpu(f"GPU-{name}") for name in ("aa11", "ab22", "bb33", "cc44"))


@pytest.mark.parametrize(
    ("setting", "uuids"),
    [
        pytest.param(None, ["aa11", "ab22", "bb33", "cc44"], id="not-set"),
        pytest.param("", [], id="set-and-empty"),
        pytest.param("2,0", ["bb33", "aa11"], id="indices-in-their-order"),
        pytest.param(" 1 , 3 ", ["ab22", "cc44"], id="spaces"),
        pytest.param("GPU-bb", ["bb33"], id="beginning-of-a-uuid"),
        pytest.param("0,9,1", ["aa11"], id="ends-at-an-index-that-is-not-there"),
        pytest.param("-1", [], id="minus-one-hides-all"),
        pytest.param("NoDevFiles", [], id="a-word"),
    ],
)
def test_the_environment_decides_what_is_visible(setting: str | None, uuids: list[str]) -> None:
    assert [g.uuid.removeprefix("GPU-") for g in visible(FOUR, setting)] == uuids


@pytest.mark.parametrize(
    ("free", "kept"),
    [
        pytest.param([24, 24], [24, 24], id="all-free"),
        pytest.param([3, 24, 12], [24, 12], id="half-as-free-is-still-ours"),
        pytest.param([24, 11], [24], id="less-than-half-is-anothers"),
        pytest.param([], [], id="none"),
    ],
)
def test_another_programs_gpu_is_not_planned_with(free: list[int], kept: list[int]) -> None:
    assert [g.free // GIB for g in usable(gpu(f"GPU-{i}", free=f) for i, f in enumerate(free))] == kept


@pytest.mark.parametrize(
    ("capability", "bf16"), [((7, 5), False), ((8, 0), True), ((8, 6), True), ((12, 0), True)], ids=str
)
def test_bfloat16_begins_with_compute_capability_8(capability: tuple[int, int], *, bf16: bool) -> None:
    assert gpu("GPU-a", capability=capability).bf16 is bf16


def refuse(*_: object) -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)


def test_a_machine_without_a_driver_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    assert read_gpus() == ()


def test_a_gpu_that_does_not_answer_is_told_and_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", refuse)
    with pytest.raises(InfeasibleError, match=r"^GPU 0 of this machine doesn't answer the driver \(.+\); see what"):
        read_gpus()
