"""What a job that ran out of memory is told: need, have, and one change."""

import pytest

from finetune_operator.api.spec import Accelerator
from finetune_operator.api.status import FineTuneJobStatus, MemoryCheck, Offload
from finetune_operator.lifecycle.memory import memory_advice
from finetune_operator.lifecycle.options import option_status
from finetune_operator.units import GIB, Bytes
from tests.support.plans import make_memory, make_plan
from tests.unit.lifecycle.test_admission import make_placement
from tests.unit.lifecycle.worlds import make_chosen, make_cluster_job

JOB = make_cluster_job()


def make_status(required: int = 20, measured: str | None = None, offload: Offload = Offload.NONE) -> FineTuneJobStatus:
    plan = make_plan(id="lora-1x80g", memory=make_memory(weights=required * GIB), available=Bytes(24 * GIB))
    option = option_status(plan, recommended=True).model_copy(update={"offload": offload})
    required_text = option.memory.model_copy(update={"required": f"{required}.0GiB", "available": "24.0GiB"})
    check = MemoryCheck(predicted=f"{required}.0GiB", measured=measured) if measured else None
    return FineTuneJobStatus(options=(option.model_copy(update={"memory": required_text}),), memory=check)


def advice(reason: str = "OutOfMemory", accelerator: Accelerator = Accelerator.GPU, **status: object) -> str:
    placement = make_placement(accelerator=accelerator, host_memory=16 * GIB)
    return memory_advice(reason, make_status(**status), make_chosen(placement), JOB)  # type: ignore[arg-type]  # a table's


def test_what_was_planned_and_measured_is_told_with_the_one_change() -> None:
    said = advice(measured="23.0GiB")
    assert "planned 20.0GiB of 24.0GiB a device, measured 23.0GiB" in said
    # 0.85 of 20 GiB are 0.71 of 24 GiB
    assert 'write hardware.memoryMargin: "0.30" (it was 0.05)' in said


def test_a_plan_that_was_far_off_is_asked_to_keep_as_much_more_free() -> None:
    assert 'memoryMargin: "0.53"' in advice(measured="40.0GiB")


def test_without_a_measurement_that_is_said() -> None:
    assert "nothing measured before" in advice()


def test_a_margin_that_leaves_nothing_is_never_told() -> None:
    assert "hardware with more memory a device" in advice(required=2)


@pytest.mark.parametrize(("offload", "helps"), [(Offload.OPTIMIZER, True), (Offload.NONE, False)])
def test_ram_beside_devices_is_told_by_what_a_pod_may_use(*, offload: Offload, helps: bool) -> None:
    said = advice("HostOutOfMemory", offload=offload)
    assert "a pod may use 16.0 GiB of RAM under lora-1x80g" in said
    assert ("without offload" in said) is helps


def test_ram_is_the_memory_of_a_processor() -> None:
    assert "hardware.memoryMargin" in advice("HostOutOfMemory", Accelerator.CPU)


def test_other_ends_are_told_nothing_of_memory() -> None:
    assert advice("Diverged") == ""
