"""Names that device plugins, feature discovery and clouds put on nodes."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from finetune_operator.constants import GROUP
from finetune_operator.planner.devices import named_product

NVIDIA: Final = "nvidia.com/"
"""Prefix of NVIDIA's resources and labels."""

WHOLE_GPU: Final = "nvidia.com/gpu"
"""Resource of whole GPUs; under the MIG strategy "single" of equal slices, and the beginning of their labels."""

MIG_SLICE: Final = "nvidia.com/mig-"
"""Beginning of the resources of slices under the MIG strategy "mixed", and of their labels."""

SHARED: Final = ".shared"
"""End of a resource whose devices are shared, where the device plugin renames it."""

UNSUPPORTED: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("amd.com/gpu", "AMD GPU", ("amd.com/gpu.product-name", "beta.amd.com/gpu.product-name")),
    ("gpu.intel.com/i915", "Intel GPU", ("gpu.intel.com/product",)),
    ("gpu.intel.com/xe", "Intel GPU", ("gpu.intel.com/product",)),
    ("habana.ai/gaudi", "Intel Gaudi", ("habana.ai/gaudi.product",)),
    ("google.com/tpu", "Google TPU", ("cloud.google.com/gke-tpu-accelerator",)),
    ("aws.amazon.com/neuron", "AWS Neuron", ()),
)
"""Resources of accelerators that nothing trains on yet, what they are, and labels with their product."""

PRODUCT_LABELS: Final = (
    "nvidia.com/gpu.product",
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    "eks.amazonaws.com/instance-gpu-name",
)
"""Labels with a GPU's product, the most exact one first."""

GPU_PRESENT: Final = "nvidia.com/gpu.present"
"""Feature discovery's label of nodes with a GPU: true."""

GKE_PARTITION: Final = "cloud.google.com/gke-gpu-partition-size"
"""MIG profile into which GKE has cut a node's GPUs."""

GKE_SHARING: Final = "cloud.google.com/gke-gpu-sharing-strategy"
"""time-sharing or mps."""

INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
"""The cloud's name for the kind of machine."""

INSTANCE_GPUS: Final = {
    "p3": "Tesla V100", "p3dn": "Tesla V100 32GB", "p4d": "NVIDIA A100", "p4de": "NVIDIA A100 80GB",
    "p5": "NVIDIA H100", "p5e": "NVIDIA H200", "p5en": "NVIDIA H200", "p6-b200": "NVIDIA B200",
    "p6-b300": "NVIDIA B300", "p6e-gb200": "NVIDIA GB200", "g4dn": "Tesla T4", "g5": "NVIDIA A10G",
    "g6": "NVIDIA L4", "gr6": "NVIDIA L4", "g6e": "NVIDIA L40S", "g7e": "NVIDIA RTX PRO 6000 Server",
}  # fmt: skip
"""GPUs of Amazon's instance families, whose names don't say it."""

NVME: Final = (
    f"{GROUP}/nvme",
    "cloud.google.com/gke-local-nvme-ssd",
    "cloud.google.com/gke-ephemeral-storage-local-ssd",
    "karpenter.k8s.aws/instance-local-nvme",
    "eks.amazonaws.com/instance-local-nvme",
)
"""Labels of nodes with a local NVMe disk. That a disk doesn't rotate is no sign of one, and neither is an NVMe
controller: network volumes have it, too."""

PRICE: Final = f"{GROUP}/price-per-device-hour"
"""Label or annotation: a decimal in any currency."""

CPU_FEATURES: Final = "feature.node.kubernetes.io/cpu-cpuid."
"""Beginning of the labels for a processor's instructions."""

CPU_FLAGS: Final = {
    "AMXBF16": "amx_bf16", "AVX512BF16": "avx512_bf16", "AVX512F": "avx512f", "AVX2": "avx2", "ASIMD": "asimd",
}  # fmt: skip
"""The instructions that count, as such labels and as Linux name them."""

ARM_FLAGS: Final = frozenset({"asimd"})
"""What every 64-bit ARM server has."""

_PCI: Final = "feature.node.kubernetes.io/pci-"
_NVIDIA_PCI: Final = "10de.present"


@lru_cache(maxsize=1024)
def is_accelerator(resource: str) -> bool:
    """Whether a resource is one of accelerators, in whatever way they are cut or shared."""
    base = resource.removesuffix(SHARED)
    return base == WHOLE_GPU or base.startswith(MIG_SLICE) or any(base == name for name, _, _ in UNSUPPORTED)


def names_gpu(labels: Mapping[str, str]) -> bool:
    """Whether labels say that there is an NVIDIA GPU, offered or not."""
    if labels.get(GPU_PRESENT) == "true" or any(labels.get(name) for name in PRODUCT_LABELS):
        return True
    return any(k.startswith(_PCI) and k.endswith(_NVIDIA_PCI) and v == "true" for k, v in labels.items())


def instance_type(labels: Mapping[str, str], resources: Iterable[str]) -> str:
    """The cloud's name of the machine where nothing else tells the product of those resources; else empty."""
    told = (*PRODUCT_LABELS, *(f"{resource}.product" for resource in resources))
    return "" if any(labels.get(name) for name in told) else labels.get(INSTANCE_TYPE, "")


def has_nvme(labels: Mapping[str, str]) -> bool:
    """Whether labels say that there is a local NVMe disk."""
    return any(labels.get(name, "false") not in {"", "0", "false"} for name in NVME)


def cpu_flags(labels: Mapping[str, str], architecture: str, assumed: frozenset[str]) -> frozenset[str]:
    """A processor's instructions: as labels name them, else what its architecture always has."""
    found = {flag for name, flag in CPU_FLAGS.items() if labels.get(CPU_FEATURES + name) == "true"}
    if found:
        return frozenset(found)
    return ARM_FLAGS if architecture == "arm64" else assumed


def instance_product(labels: Mapping[str, str]) -> str:
    """The GPU that an instance type stands for, by a table or because it names it; empty for others."""
    kind = labels.get(INSTANCE_TYPE, "")
    family = INSTANCE_GPUS.get(kind.partition(".")[0])
    if family is not None:
        return family
    named = named_product(kind.replace(".", " "))
    return f"NVIDIA {named.name}" if named is not None else ""
