"""The same estimate turned round: which hardware would do."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from finetune_operator.api.spec import Accelerator, Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.candidates import strategies
from finetune_operator.planner.capacity import Device, NodeClass
from finetune_operator.planner.checks import HOST_RESERVE, disk_bytes
from finetune_operator.planner.deferred import Remembered
from finetune_operator.planner.memory import host_of
from finetune_operator.planner.naming import option_id
from finetune_operator.planner.plan import Advice, Hardware, PrecisionUsed
from finetune_operator.planner.question import Question
from finetune_operator.planner.setting import Setting
from finetune_operator.planner.solver import Place, least_setting, resolve_precision, total_of
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

COMFORT: Final = 0.8
"""Share of the memory that recommended hardware uses at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One answer, before it is worded."""

    size: int
    """GiB a device."""
    setting: Setting
    place: Place
    workload: Workload

    @property
    def cost(self) -> tuple[int, int]:
        """What is to be small: device memory in all, then the number of devices."""
        world = self.place.world
        return world * self.size, world


_Settings = Remembered[tuple[int, int, int, Offload], tuple[Place, Setting]]
"""By nodes, devices a node, stage and offload: what all methods have in common."""


Advices = Remembered[Method, Advice | None]
"""By method, of those that are asked about: found when it is first looked up; None where no hardware would do."""


def prepare_advice(question: Question) -> Advices:
    """Advice to look up, since most of it is never told."""
    kind = question.spec.hardware.accelerator or Accelerator.GPU
    return Remembered(
        partial(_for_method, question, Remembered(partial(_set, question, Remembered(partial(_node, kind)))))
    )


def advise(question: Question, advices: Advices | None = None) -> Mapping[Method, Advice]:
    """Hardware for each method that is asked about, where any would do."""
    known = prepare_advice(question) if advices is None else advices
    return {m: advice for m in question.workloads if (advice := known[m]) is not None}


def _for_method(question: Question, places: _Settings, method: Method) -> Advice | None:
    workload = question.workloads[method]
    ways = list(_ways(question, workload, places))
    minimum = _cheapest(question, workload, ways, 1.0)
    if minimum is None:
        return None
    sharing = [w for w in ways if w[0].offload is Offload.NONE]
    comfortable = _cheapest(question, workload, sharing, COMFORT)
    return Advice(
        minimum=_hardware(question, minimum),
        recommended=_hardware(question, comfortable or _cheapest(question, workload, ways, COMFORT) or minimum),
    )


def _ways(question: Question, workload: Workload, places: _Settings) -> Iterator[tuple[Place, Setting, int]]:
    """Each count and strategy with the least that it needs."""
    kind = question.spec.hardware.accelerator or Accelerator.GPU
    for nodes, devices in _counts(question, kind):
        for stage, offload in strategies(workload.method, kind, nodes * devices, undivided=workload.eight_bit):
            place, setting = places[nodes, devices, stage, offload]
            yield place, setting, total_of(workload, setting)


def _counts(question: Question, kind: Accelerator) -> Iterator[tuple[int, int]]:
    """Nodes and devices a node that the job allows, that can work together, and that share the batch."""
    hardware, limit = question.spec.hardware, question.capacity.max_devices
    for nodes, devices in ((1, 1),) if kind is Accelerator.CPU else COUNTS:
        fixed = hardware.nodes in {None, nodes} and hardware.devices_per_node in {None, devices}
        together = limit is None or nodes * devices <= limit
        if fixed and together and question.spec.training.batch_size % (nodes * devices) == 0:
            yield nodes, devices


def _cheapest(
    question: Question, workload: Workload, ways: Sequence[tuple[Place, Setting, int]], share: float
) -> Shape | None:
    """Of each way the smallest size of which so much is enough; of those the one that costs least."""
    on_cpu = question.spec.hardware.accelerator is Accelerator.CPU
    sizes, free = (RAM_SIZES, RAM_FREE) if on_cpu else (GPU_SIZES, GPU_FREE)
    usable = GIB * free * (1 - question.margin) * share
    limits = [size * usable for size in sizes]
    best: Shape | None = None
    for place, setting, total in ways:
        index = bisect_left(limits, total)
        if index == len(sizes):
            continue
        size, world = sizes[index], place.world
        if best is None or (world * size, world) < best.cost:
            best = Shape(size=size, setting=setting, place=place, workload=workload)
    return best


def _node(kind: Accelerator, counts: tuple[int, int]) -> NodeClass:
    """Hardware of that shape; its memory is what is looked for."""
    nothing = Bytes(0)
    # every GPU for training since 2020 computes in bfloat16; a processor is taken as the plainest one
    bf16 = kind is Accelerator.GPU
    return NodeClass(
        name="any",
        device=Device(accelerator=kind, product="any", memory=nothing, free=nothing, bf16=bf16, peak_flops=1.0),
        devices_per_node=counts[1],
        nodes=counts[0],
        cores=CORES_PER_DEVICE * counts[1],
        ram=nothing,
        free_ram=nothing,
        disk=nothing,
        nvme=False,
    )


def _set(
    question: Question, node_classes: Remembered[tuple[int, int], NodeClass], way: tuple[int, int, int, Offload]
) -> tuple[Place, Setting]:
    nodes, devices, stage, offload = way
    node_class, training = node_classes[nodes, devices], question.spec.training
    place = Place(
        node_class=node_class,
        stage=stage,
        offload=offload,
        nodes=nodes,
        devices_per_node=devices,
        precision=resolve_precision(training.precision, node_class.device) or PrecisionUsed.FP32,
    )
    return place, least_setting(place, question.data.longest, training.batch_size, question.data.evaluated)


def _hardware(question: Question, shape: Shape) -> Hardware:
    # wherever the weights are now, that hardware doesn't have them yet
    disk = 2 * question.architecture.total_parameters + disk_bytes(question, shape.workload, shape.place.sharding)
    place, kind = shape.place, shape.place.node_class.device.accelerator
    on_cpu, counts = kind is Accelerator.CPU, (place.nodes, place.devices_per_node)
    ram = shape.size * GIB if on_cpu else common_ram(host_of(shape.workload, shape.setting))
    tag = "cpu" if on_cpu else f"{shape.size}g"
    return Hardware(
        option=option_id(shape.workload.method, (place.stage, place.offload), counts, tag, kind),
        zero_stage=place.stage,
        offload=place.offload,
        devices=place.world,
        nodes=place.nodes,
        memory=Bytes(shape.size * GIB),
        cores=place.node_class.cores,
        ram=Bytes(ram),
        disk=Bytes(_round_up(disk, 10 * GIB)),
    )


def common_ram(host: int) -> int:
    """RAM of a node on which so much is needed, as its check judges it; beyond what is common, what it takes."""
    need = host / (RAM_FREE * (1 - HOST_RESERVE))
    return next((s * GIB for s in RAM_SIZES if s * GIB >= need), _round_up(int(need), 1024 * GIB))


def _round_up(count: int, unit: int) -> int:
    return -(-count // unit) * unit
