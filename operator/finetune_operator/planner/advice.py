"""The same estimate turned round: which hardware would do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.candidates import strategies
from finetune_operator.planner.capacity import Device, NodeClass
from finetune_operator.planner.checks import disk_bytes
from finetune_operator.planner.memory import host_of
from finetune_operator.planner.naming import option_id
from finetune_operator.planner.plan import Advice, Hardware, PrecisionUsed
from finetune_operator.planner.question import Question
from finetune_operator.planner.setting import Setting
from finetune_operator.planner.solver import Place, least_sized, resolve_precision
from finetune_operator.planner.workload import Workload
from finetune_operator.units import GIB, Bytes

GPU_SIZES: Final = (16, 24, 32, 40, 48, 80, 96, 141, 192)
"""GiB of device memory to choose from."""

GPU_FREE: Final = 0.93
"""Share of a GPU's nominal memory that is there: 22.5 of 24 GiB on an L4, 44.5 of 48 on an L40S."""

RAM_SIZES: Final = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
"""GiB of RAM to choose from."""

RAM_FREE: Final = 0.9
"""Share of a machine's RAM that is free for us."""

COUNTS: Final = ((1, 1), (1, 2), (1, 4), (1, 8), (2, 8), (4, 8), (8, 8), (16, 8), (32, 8))
"""Nodes and devices a node to choose from."""

CORES_PER_DEVICE: Final = 8
"""Cores for each device: its process, data, and a CPU optimizer where one is used."""

READ_RAM: Final = 5 * GIB
"""RAM for each process while it reads weights: the largest file that transformers writes, mapped as a whole."""

COMFORT: Final = 0.8
"""Share of the memory that recommended hardware uses at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One answer, before it is worded."""

    option: str
    nodes: int
    devices: int
    size: int
    """GiB a device."""
    setting: Setting
    place: Place
    workload: Workload

    @property
    def cost(self) -> tuple[int, int]:
        """What is to be small: device memory in all, then the number of devices."""
        world = self.nodes * self.devices
        return world * self.size, world


def advise(question: Question) -> Mapping[Method, Advice]:
    """Hardware for each method that is asked about, where any would do."""
    found = {m: _for_method(question, w) for m, w in question.workloads.items()}
    return {m: advice for m, advice in found.items() if advice is not None}


def _for_method(question: Question, workload: Workload) -> Advice | None:
    ways = list(_ways(question, workload))
    minimum = _cheapest(_shapes(question, workload, ways, 1.0))
    if minimum is None:
        return None
    sharing = [w for w in ways if w[0].offload is Offload.NONE]
    comfortable = _cheapest(_shapes(question, workload, sharing, COMFORT))
    return Advice(
        minimum=_hardware(question, minimum),
        recommended=_hardware(
            question, comfortable or _cheapest(_shapes(question, workload, ways, COMFORT)) or minimum
        ),
    )


def _cheapest(shapes: Iterator[Shape]) -> Shape | None:
    return min(shapes, key=lambda s: s.cost, default=None)


def _ways(question: Question, workload: Workload) -> Iterator[tuple[Place, Setting, int]]:
    """Each count and strategy with the least that it needs."""
    kind = question.spec.hardware.accelerator or Accelerator.GPU
    for nodes, devices in _counts(question, kind):
        for sharding in strategies(workload.method, kind, nodes * devices):
            place = _place(question, kind, sharding, (nodes, devices))
            yield place, *least_sized(workload, place, question.data.longest, question.spec.training.batch_size)


def _counts(question: Question, kind: Accelerator) -> Iterator[tuple[int, int]]:
    """Nodes and devices a node that the job allows, that can work together, and that share the batch."""
    hardware, limit = question.spec.hardware, question.capacity.max_devices
    for nodes, devices in ((1, 1),) if kind is Accelerator.CPU else COUNTS:
        fixed = hardware.nodes in {None, nodes} and hardware.devices_per_node in {None, devices}
        together = limit is None or nodes * devices <= limit
        if fixed and together and question.spec.training.batch_size % (nodes * devices) == 0:
            yield nodes, devices


def _shapes(
    question: Question, workload: Workload, ways: Sequence[tuple[Place, Setting, int]], share: float
) -> Iterator[Shape]:
    """For each way the smallest size of which so much is enough."""
    for place, setting, total in ways:
        kind = place.node_class.device.accelerator
        on_cpu = kind is Accelerator.CPU
        sizes, free = (RAM_SIZES, RAM_FREE) if on_cpu else (GPU_SIZES, GPU_FREE)
        usable = GIB * free * (1 - question.margin) * share
        size = next((s for s in sizes if total <= s * usable), None)
        if size is None:
            continue
        counts, tag = (place.nodes, place.devices_per_node), "cpu" if on_cpu else f"{size}g"
        yield Shape(
            option=option_id(workload.method, (place.stage, place.offload), counts, tag, kind),
            nodes=place.nodes,
            devices=place.devices_per_node,
            size=size,
            setting=setting,
            place=place,
            workload=workload,
        )


def _place(question: Question, kind: Accelerator, sharding: tuple[int, Offload], counts: tuple[int, int]) -> Place:
    """Hardware of that shape; its memory is what is looked for."""
    nothing = Bytes(0)
    # every GPU for training since 2020 computes in bfloat16; a processor is taken as the plainest one
    bf16 = kind is Accelerator.GPU
    device = Device(accelerator=kind, product="any", memory=nothing, free=nothing, bf16=bf16, peak_flops=1.0)
    node_class = NodeClass(
        name="any",
        device=device,
        devices_per_node=counts[1],
        nodes=counts[0],
        cores=CORES_PER_DEVICE * counts[1],
        ram=nothing,
        free_ram=nothing,
        disk=nothing,
        nvme=False,
    )
    precision = resolve_precision(question.spec.training.precision, device)
    return Place(
        node_class=node_class,
        stage=sharding[0],
        offload=sharding[1],
        nodes=counts[0],
        devices_per_node=counts[1],
        precision=precision or PrecisionUsed.FP32,
    )


def _hardware(question: Question, shape: Shape) -> Hardware:
    # wherever the weights are now, that hardware doesn't have them yet
    disk = 2 * question.architecture.total_parameters + disk_bytes(question, shape.workload, shape.place.sharding)
    on_cpu = shape.place.node_class.device.accelerator is Accelerator.CPU
    ram = shape.size * GIB if on_cpu else common_ram(host_of(shape.workload, shape.setting), shape.devices)
    return Hardware(
        option=shape.option,
        zero_stage=shape.place.stage,
        offload=shape.place.offload,
        devices=shape.nodes * shape.devices,
        nodes=shape.nodes,
        memory=Bytes(shape.size * GIB),
        cores=shape.place.node_class.cores,
        ram=Bytes(ram),
        disk=Bytes(_round_up(disk, 10 * GIB)),
    )


def common_ram(host: int, processes: int) -> int:
    """RAM of a node on which so much is needed; beyond what is common, what it takes."""
    need = (host + READ_RAM * processes) / RAM_FREE
    return next((s * GIB for s in RAM_SIZES if s * GIB >= need), _round_up(int(need), 1024 * GIB))


def _round_up(count: int, unit: int) -> int:
    return -(-count // unit) * unit
