"""Nodes of a cluster as classes."""

from typing import Any

import pytest

from finetune_operator.api.spec import Accelerator
from finetune_operator.planner.capacity import Capacity, NodeClass
from finetune_operator.planner.cluster import reasons
from finetune_operator.planner.cluster.nodes import BAD_PRICE
from finetune_operator.planner.cluster.state import read_capacity
from finetune_operator.units import GIB, MIB
from tests.unit.planner.cluster_objects import (
    A100_SINGLE,
    G5,
    H100,
    H100_MIXED,
    L4_MPS,
    T4_TIME_SLICED,
    Object,
    make_node,
)


def only(capacity: Capacity) -> NodeClass:
    (found,) = capacity.classes
    return found


def test_eight_labelled_gpus_are_a_class() -> None:
    found = only(read_capacity([make_node(gpus=8, labels=H100), make_node("n2", gpus=8, labels=H100)]))
    assert (found.nodes, found.devices_per_node, found.resource) == (2, 8, "nvidia.com/gpu")
    assert (found.device.product, found.device.memory) == ("NVIDIA-H100-80GB-HBM3", 81559 * MIB)
    assert (found.device.bf16, found.device.peak_flops, found.assumed) == (True, 989e12, "")
    assert found.free_devices == ((8, 2),)
    assert (found.ram, found.free_ram, found.cores) == (992 * GIB, 992 * GIB, 92)


def test_what_is_allocatable_counts_and_not_the_label() -> None:
    found = only(read_capacity([make_node(gpus=7, labels=H100)]))
    assert found.devices_per_node == 7


def test_more_than_the_labels_count_is_noted() -> None:
    capacity = read_capacity([make_node(gpus=8, labels=H100 | {"nvidia.com/gpu.count": "4"})])
    assert only(capacity).devices_per_node == 8
    assert [n for n in capacity.notes if "more of nvidia.com/gpu is offered" in n]


def test_equal_slices_are_devices_of_their_own() -> None:
    found = only(read_capacity([make_node(gpus=8, labels=A100_SINGLE)]))
    assert (found.devices_per_node, found.device.memory) == (8, 20096 * MIB)
    assert found.device.peak_flops == pytest.approx(312e12 * 3 / 7)


def test_mixed_slices_and_whole_gpus_of_a_node_are_a_class_each() -> None:
    allocatable = {"nvidia.com/mig-1g.10gb": "7", "nvidia.com/mig-3g.40gb": "2"}
    capacity = read_capacity([make_node(gpus=6, labels=H100_MIXED, allocatable=allocatable)])
    assert [(c.resource, c.devices_per_node, c.device.memory) for c in capacity.classes] == [
        ("nvidia.com/gpu", 6, 81559 * MIB),
        ("nvidia.com/mig-3g.40gb", 2, 40448 * MIB),
        ("nvidia.com/mig-1g.10gb", 7, 9984 * MIB),
    ]
    assert all(c.device.bf16 for c in capacity.classes)


def test_slices_without_labels_have_what_their_profile_says_at_least() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    found = only(read_capacity([make_node(gpus=0, labels=labels, allocatable={"nvidia.com/mig-2g.20gb": "3"})]))
    assert (found.device.product, found.device.memory) == ("NVIDIA-A100-SXM4-80GB-MIG-2g.20gb", 19 * GIB)
    assert "table" in found.assumed


@pytest.mark.parametrize(
    ("labels", "gpus", "allocatable", "reason"),
    [
        pytest.param(T4_TIME_SLICED, 4, {}, reasons.TIME_SLICED, id="time-slicing"),
        pytest.param(L4_MPS, 2, {}, reasons.MPS, id="mps"),
        pytest.param(H100, 0, {"nvidia.com/gpu.shared": "80"}, reasons.TIME_SLICED, id="renamed"),
        pytest.param({"nvidia.com/gpu.memory": "15360", "nvidia.com/gpu.replicas": "2"}, 2, {}, reasons.TIME_SLICED,
                     id="replicas-alone"),
        pytest.param(H100 | {"nvidia.com/mps.capable": "true"}, 0, {"nvidia.com/gpu.shared": "80"}, reasons.MPS,
                     id="renamed-mps"),
        pytest.param({"cloud.google.com/gke-accelerator": "nvidia-l4",
                      "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing"}, 4, {}, reasons.TIME_SLICED,
                     id="gke"),
        pytest.param(H100 | {"nvidia.com/gpu.product": "NVIDIA-A100-MIG-INVALID"}, 8, {}, reasons.MIG_INVALID,
                     id="invalid-mig"),
        pytest.param(H100, 0, {}, reasons.NO_DEVICE, id="no-device-allocatable"),
        pytest.param({"feature.node.kubernetes.io/pci-0302_10de.present": "true"}, None, {}, reasons.NO_DEVICE,
                     id="no-device-plugin"),
        pytest.param({}, 4, {}, f"{reasons.NO_MEMORY} (product unknown)", id="nothing-said"),
        pytest.param({"nvidia.com/gpu.product": "Acme-1"}, 4, {}, f"{reasons.NO_MEMORY} (Acme-1)", id="no-memory"),
        pytest.param(H100, "4x", {}, "unreadable (status.allocatable.nvidia.com/gpu)", id="no-quantity"),
        pytest.param(H100, "-1", {}, "unreadable (status.allocatable.nvidia.com/gpu)", id="negative"),
        pytest.param(H100, "1e12", {}, "unreadable (status.allocatable.nvidia.com/gpu)", id="huge"),
        pytest.param(H100, 8, {"memory": "lots"}, "unreadable (status.allocatable.memory)", id="ram"),
        pytest.param(H100, 8, {"memory": "9e30"}, "unreadable (status.allocatable.memory)", id="huge-ram"),
        pytest.param(H100, 8, {"cpu": None}, "unreadable (status.allocatable.cpu)", id="no-cores"),
    ],
)  # fmt: skip
def test_gpus_that_are_no_job_s_own_leave_the_node_out(
    labels: dict[str, str], gpus: Any, allocatable: Object, reason: str
) -> None:
    capacity = read_capacity([make_node(gpus=gpus, labels=labels, allocatable=allocatable)])
    assert (capacity.classes, dict(capacity.left_out)) == ((), {reason: 1})


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        pytest.param(make_node(gpus=8, labels=H100, spec={"unschedulable": True}), reasons.CORDONED, id="cordoned"),
        pytest.param(make_node(gpus=8, labels=H100, ready="False"), reasons.NOT_READY, id="not-ready"),
        pytest.param(make_node(gpus=8, labels=H100, ready="Unknown"), reasons.NOT_READY, id="unknown"),
        pytest.param(make_node(spec={"taints": [{"key": "dedicated", "value": "a", "effect": "NoSchedule"}]}),
                     "tainted dedicated=a:NoSchedule", id="tainted"),
        pytest.param({"metadata": {"name": "n"}}, "unreadable (status.allocatable.cpu)", id="no-status"),
        pytest.param({}, "unreadable (metadata.name)", id="nothing"),
        pytest.param("text", "unreadable (metadata.name)", id="no-object"),
    ],
)  # fmt: skip
def test_a_node_that_takes_no_pods_is_counted_by_its_reason(node: Any, reason: str) -> None:
    capacity = read_capacity([node, make_node("other")])
    assert (len(capacity.classes), dict(capacity.left_out)) == (1, {reason: 1})
    assert capacity.remarks() == (f"nodes left out: 1 {reason}",)


TAINT = {"key": "dedicated", "value": "a", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("toleration", "there"),
    [
        pytest.param({"key": "dedicated", "value": "a"}, True, id="equal"),
        pytest.param({"key": "dedicated", "operator": "Equal", "value": "b"}, False, id="another-value"),
        pytest.param({"key": "dedicated", "operator": "Exists"}, True, id="exists"),
        pytest.param({"operator": "Exists"}, True, id="everything"),
        pytest.param({"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}, False, id="another-effect"),
        pytest.param({"key": "other", "operator": "Exists"}, False, id="another-key"),
        pytest.param("dedicated", False, id="no-object"),
    ],
)
def test_a_toleration_lets_a_job_in(toleration: Any, there: bool) -> None:  # noqa: FBT001  a table's column
    node = make_node(gpus=8, labels=H100, spec={"taints": [TAINT]})
    assert bool(read_capacity([node], tolerations=[toleration]).classes) is there


def test_the_taint_of_gpu_nodes_keeps_only_others_off() -> None:
    spec = {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]}
    assert read_capacity([make_node(gpus=8, labels=H100, spec=spec)]).classes
    assert not read_capacity([make_node(spec=spec)]).classes


def test_a_taint_that_only_prefers_is_none() -> None:
    spec = {"taints": [{"key": "dedicated", "effect": "PreferNoSchedule"}]}
    assert read_capacity([make_node(spec=spec)]).classes


def test_only_selected_nodes_count() -> None:
    nodes = [make_node("a", labels={"zone": "x"}), make_node("b", labels={"zone": "y"}), make_node("c")]
    capacity = read_capacity(nodes, selector={"zone": "x"})
    assert (only(capacity).nodes, dict(capacity.left_out)) == (1, {reasons.NOT_SELECTED: 2})


def test_without_labels_of_memory_a_table_tells_it_and_the_class_says_so() -> None:
    found = only(read_capacity([make_node(gpus=4, labels=G5)]))
    assert (found.device.product, found.device.memory) == ("NVIDIA A10G", 23028 * MIB)
    assert found.assumed == (
        "22.5 GiB a device is from a table of products, for NVIDIA A10G by the label "
        "node.kubernetes.io/instance-type: no label tells it"
    )


@pytest.mark.parametrize(
    ("labels", "product", "memory"),
    [
        pytest.param({"cloud.google.com/gke-accelerator": "nvidia-h100-mega-80gb"}, "nvidia-h100-mega-80gb",
                     81559 * MIB, id="gke"),
        pytest.param({"cloud.google.com/gke-accelerator": "nvidia-tesla-a100",
                      "cloud.google.com/gke-gpu-partition-size": "3g.20gb"}, "nvidia-tesla-a100-MIG-3g.20gb",
                     19 * GIB, id="gke-partition"),
        pytest.param({"karpenter.k8s.aws/instance-gpu-name": "l40s"}, "l40s", 46068 * MIB, id="karpenter"),
        pytest.param({"node.kubernetes.io/instance-type": "Standard_ND96isr_H100_v5"}, "NVIDIA H100", 81559 * MIB,
                     id="named-by-the-type"),
        pytest.param({"nvidia.com/gpu.product": "NVIDIA-A100-PCIE-40GB"}, "NVIDIA-A100-PCIE-40GB", 40960 * MIB,
                     id="product-without-memory"),
    ],
)  # fmt: skip
def test_clouds_name_gpus_in_their_own_ways(labels: dict[str, str], product: str, memory: int) -> None:
    found = only(read_capacity([make_node(gpus=4, labels=labels)]))
    assert (found.device.product, found.device.memory) == (product, memory)


@pytest.mark.parametrize(
    ("resource", "labels", "product"),
    [
        pytest.param("amd.com/gpu", {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"},
                     "AMD Instinct MI300X OAM", id="amd"),
        pytest.param("gpu.intel.com/i915", {}, "Intel GPU", id="intel"),
        pytest.param("gpu.intel.com/xe", {"gpu.intel.com/product": "Max_1550"}, "Max 1550", id="intel-xe"),
        pytest.param("habana.ai/gaudi", {}, "Intel Gaudi", id="gaudi"),
    ],
)  # fmt: skip
def test_other_accelerators_are_told_and_are_no_processors(resource: str, labels: dict[str, str], product: str) -> None:
    spec = {"taints": [{"key": resource, "effect": "NoSchedule"}]}
    nodes = [make_node(n, labels=labels, allocatable={resource: "8"}, spec=spec) for n in "ab"]
    capacity = read_capacity(nodes)
    assert (capacity.classes, dict(capacity.left_out)) == ((), {})
    (found,) = capacity.unsupported
    assert (found.product, found.devices_per_node, found.nodes) == (product, 8, 2)


def test_a_node_without_accelerator_is_one_cpu_device() -> None:
    labels = {"feature.node.kubernetes.io/cpu-cpuid.AMXBF16": "true"}
    found = only(read_capacity([make_node(labels=labels)]))
    assert (found.device.accelerator, found.devices_per_node, found.resource) == (Accelerator.CPU, 1, "")
    assert (found.device.memory, found.device.free, found.device.bf16) == (992 * GIB, 992 * GIB, True)
    assert found.device.peak_flops == 2e12 * 92 / 2


def test_an_arm_processor_is_another_device() -> None:
    arm = make_node("arm")
    arm["status"]["nodeInfo"]["architecture"] = "arm64"
    slow, fast = sorted(read_capacity([arm, make_node()]).classes, key=lambda c: c.device.peak_flops)
    assert (slow.device.product, fast.device.product) == ("CPU (ARM)", "CPU")


def test_windows_trains_nothing() -> None:
    node = make_node()
    node["status"]["nodeInfo"]["operatingSystem"] = "windows"
    assert dict(read_capacity([node]).left_out) == {reasons.NOT_LINUX: 1}


@pytest.mark.parametrize(
    ("labels", "nvme"),
    [
        pytest.param({"cloud.google.com/gke-local-nvme-ssd": "true"}, True, id="gke"),
        pytest.param({"karpenter.k8s.aws/instance-local-nvme": "7600"}, True, id="karpenter"),
        pytest.param({"finetune-operator.dev/nvme": "true"}, True, id="own"),
        pytest.param({"finetune-operator.dev/nvme": "false"}, False, id="said-not-to-be"),
        pytest.param(
            {"feature.node.kubernetes.io/storage-nonrotationaldisk": "true"}, False, id="no-disk-that-rotates"
        ),
    ],
)
def test_nvme_is_known_by_labels(labels: dict[str, str], nvme: bool) -> None:  # noqa: FBT001  a table's column
    assert only(read_capacity([make_node(labels=labels)])).nvme is nvme


@pytest.mark.parametrize(
    ("labels", "annotations", "price"),
    [
        pytest.param({"finetune-operator.dev/price-per-device-hour": "2.90"}, {}, 2.9, id="label"),
        pytest.param({}, {"finetune-operator.dev/price-per-device-hour": "3"}, 3.0, id="annotation"),
        pytest.param({"finetune-operator.dev/price-per-device-hour": "2,90"}, {}, None, id="comma"),
        pytest.param({}, {"finetune-operator.dev/price-per-device-hour": "-1"}, None, id="negative"),
        pytest.param({}, {"finetune-operator.dev/price-per-device-hour": 2.9}, None, id="no-text"),
        pytest.param({}, {}, None, id="none"),
    ],
)
def test_the_price_is_a_label_or_an_annotation(
    labels: dict[str, str], annotations: Object, price: float | None
) -> None:
    capacity = read_capacity([make_node(gpus=8, labels=H100 | labels, annotations=annotations)])
    assert only(capacity).price_per_device_hour == price
    assert (BAD_PRICE in capacity.notes) is bool(price is None and (labels or annotations))


def test_nearly_equal_nodes_are_one_class_that_promises_no_more_than_each_has() -> None:
    sizes = [{"memory": m} for m in ("1056270368Ki", "1056270300Ki", "1050000000Ki")]
    found = only(read_capacity([make_node(str(i), 8, H100, allocatable=s) for i, s in enumerate(sizes)]))
    assert (found.nodes, found.ram) == (3, 992 * GIB)


def test_classes_have_names_of_their_own_and_an_order_that_is_not_the_nodes() -> None:
    nodes = [
        make_node("a", 8, H100),
        make_node("b", 8, H100, allocatable={"ephemeral-storage": "1e12"}),
        make_node("c", 4, G5),
        make_node("d"),
    ]
    classes = read_capacity(nodes).classes
    assert len({c.key for c in classes}) == 4
    assert read_capacity(reversed(nodes)).classes == classes
    assert [c.name.rpartition("-")[0] for c in classes] == ["8x80g-92c-992g"] * 2 + ["4x24g-92c-992g", "cpu-92c-992g"]


def test_a_disk_that_is_not_told_turns_nothing_down() -> None:
    node = make_node("a", 8, H100)
    del node["status"]["allocatable"]["ephemeral-storage"]
    capacity = read_capacity([node])
    assert [c.nodes for c in capacity.classes] == [1]
    assert any("ephemeral storage" in remark for remark in capacity.remarks())
