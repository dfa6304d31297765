"""What is seen of hardware, event by event."""

from finetune_operator.kube.kinds import NODES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
from finetune_operator.kube.store import DELETED
from finetune_operator.reconciler.hardware import SeenHardware
from tests.unit.planner.cluster_objects import make_claim, make_device, make_node, make_slice
from tests.unit.reconciler.test_writers import make_pod


def test_a_claim_holds_its_devices_until_it_is_gone() -> None:
    seen = SeenHardware()
    seen.observe(NODES, "ADDED", make_node("a"))
    seen.observe(RESOURCE_SLICES, "ADDED", make_slice("a", [make_device("gpu-0"), make_device("gpu-1")]))
    claim = make_claim("c", ("a", "gpu-0"))

    def free() -> tuple[tuple[int, int], ...]:
        (found,) = seen.capacity("here", {}, ()).classes
        return found.free_devices

    assert free() == ((2, 1),)
    seen.observe(RESOURCE_CLAIMS, "ADDED", claim)
    assert free() == ((1, 1),)
    seen.observe(RESOURCE_CLAIMS, DELETED, claim)
    assert free() == ((2, 1),)


def test_pods_that_write_are_known_until_they_are_gone() -> None:
    seen, pod = SeenHardware(), make_pod("a", output="o1")
    seen.observe(PODS, "ADDED", pod)
    assert list(seen.writing(("support", "other"), "o1")) == ["pod a"]
    seen.observe(PODS, DELETED, pod)
    assert list(seen.writing(("support", "other"), "o1")) == []
