"""How quick the planner is: `python benchmarks/planner.py [--json] [--nodes N] [--pods N] [--repeat N]`.

Times are the process's own on one core, the fastest of some repetitions. Beside each stands how many turns of a loop of
plain Python take as long, measured in the same run: other machines' figures compare by that.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from finetune_operator.api.spec import FineTuneJobSpec
from finetune_operator.planner.candidates import enumerate_candidates
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_operator.planner.checks import judge_all
from finetune_operator.planner.cluster.state import ClusterState
from finetune_operator.planner.facts import DatasetFacts, Facts, ModelFacts, evaluated_at_most
from finetune_operator.planner.plan import PlanSet
from finetune_operator.planner.planner import plan
from finetune_operator.planner.question import Question, pose
from finetune_operator.units import Bytes

Object = dict[str, Any]
"""A Kubernetes object."""

TURNS: Final = 200_000
"""Of the loop that figures are compared with."""

MODELS: Final = (
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "Qwen/Qwen2.5-7B-Instruct",
    "meta-llama/Llama-3.3-70B-Instruct",
)
"""What is sized: nearly everything fits, some does, hardly anything does."""

HEAVY: Final = ("torch", "numpy", "transformers", "deepspeed", "kubernetes")
"""What planning must not load."""

GPU_LABELS: Final = {
    "nvidia.com/gpu.replicas": "1",
    "nvidia.com/gpu.sharing-strategy": "none",
    "nvidia.com/mig.strategy": "none",
    "nvidia.com/gpu.compute.major": "8",
}
"""Of feature discovery, on every GPU node here."""

KINDS: Final[tuple[tuple[int, str, int], ...]] = (
    (8, "NVIDIA-H100-80GB-HBM3", 81559),
    (8, "NVIDIA-H100-80GB-HBM3", 81559),
    (4, "NVIDIA-A10G", 23028),
    (4, "NVIDIA-A10G", 23028),
    (4, "NVIDIA-L4", 23034),
    (2, "NVIDIA-L40S", 46068),
    (8, "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb", 20096),
    (0, "", 0),
    (0, "", 0),
    (0, "", 0),
)
"""Devices, product and MiB of ten nodes, in the order in which they come again and again; 0 for a CPU node."""

SERVICES: Final = ((250, 512), (500, 2048), (1000, 4096), (2000, 8192))
"""Thousandths of a core and MiB that pods ask for which hold no device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measurement."""

    name: str
    value: float
    unit: str
    seconds: float
    """Of one piece of what is counted."""
    turns: float
    """Of the plain loop, in the same time."""
    wanted: str


def calibrate() -> float:
    """Seconds of one turn of a loop of plain Python."""

    def turn() -> None:
        total = 0
        for i in range(TURNS):
            total += i & 7

    return fastest(turn, 7) / TURNS


def fastest(work: Callable[[], object], times: int) -> float:
    """Seconds of the processor that it takes, the fastest of so many times."""
    found = []
    for _ in range(times):
        gc.collect()
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def make_node(number: int) -> Object:
    """A node as the API server gives it."""
    devices, product, memory = KINDS[number % len(KINDS)]
    allocatable = {"cpu": "95690m", "memory": "1056270368Ki", "ephemeral-storage": "3300000000000", "pods": "110"}
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    if devices:
        allocatable["nvidia.com/gpu"] = str(devices)
        own = {"gpu.product": product, "gpu.memory": str(memory), "gpu.count": str(devices)}
        labels |= GPU_LABELS | {f"nvidia.com/{name}": value for name, value in own.items()}
    return {
        "metadata": {"name": f"node-{number}", "labels": labels},
        "spec": {},
        "status": {
            "allocatable": allocatable,
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"architecture": "amd64", "operatingSystem": "linux"},
        },
    }


def make_pod(number: int, nodes: int) -> Object:
    """A pod of a node; every eighth one holds a device where its node has some."""
    node = number * 7 % nodes
    cpu, memory = SERVICES[number % len(SERVICES)]
    requests = {"cpu": f"{cpu}m", "memory": f"{memory}Mi"}
    if number % 8 == 0 and KINDS[node % len(KINDS)][0]:
        requests["nvidia.com/gpu"] = "1"
    return {
        "metadata": {"name": f"pod-{number}", "namespace": "team"},
        "spec": {"nodeName": f"node-{node}", "containers": [{"name": "main", "resources": {"requests": requests}}]},
        "status": {"phase": "Running"},
    }


def make_state(nodes: int, pods: int) -> ClusterState:
    """A cluster of so many nodes and pods."""
    state = ClusterState()
    for number in range(nodes):
        state.add_node(make_node(number))
    for number in range(pods):
        state.add_pod(make_pod(number, nodes))
    return state


def make_job(model: str, number: int = 0) -> tuple[FineTuneJobSpec, Facts]:
    """A job that leaves everything open, and what is known of its model and data.

    Models of other numbers have a few more entries in their vocabulary, so that nothing is known of one from another.
    """
    spec = FineTuneJobSpec.model_validate_json(
        json.dumps(
            {
                "model": {"source": {"path": "model"}},
                "dataset": {"train": {"source": {"path": "train.jsonl"}}, "evaluation": {"fraction": "0.1"}},
                "output": {"path": "out"},
            }
        )
    )
    data = DatasetFacts(
        rows=12_400, tokens=12_400 * 330, p50=280, p95=800, longest=2048, evaluated=evaluated_at_most(2048, 60)
    )
    config = CATALOGUE[model]
    own = {**config, "vocab_size": config["vocab_size"] + 64 * number}
    return spec, Facts(model=ModelFacts(config=own, weight_bytes=Bytes(1)), dataset=data)


def decide(question: Question) -> int:
    """Judge every way of a job; the number of those that were solved for what they need."""
    spec, capacity = question.spec, question.capacity
    candidates = enumerate_candidates(spec.method, spec.hardware, capacity)
    return sum(verdict.sizing is not None for verdict in judge_all(question, candidates))


def time_decisions(capacity: Capacity, repeat: int) -> tuple[float, int]:
    """Seconds of one sizing decision, and how many were made each time.

    Each repetition asks about another model, so that nothing is known from the one before.
    """
    solved, seconds = 0, 0.0
    for model in MODELS:
        counts: list[int] = []
        questions = [pose(*make_job(model, 1 + n), capacity) for n in range(repeat)]
        seconds += fastest(lambda asked=questions, found=counts: found.append(decide(asked.pop())), repeat)  # type: ignore[misc]  # bound at once
        solved += counts[0]
    return seconds / solved, solved


class Planning(NamedTuple):
    """Seconds from the cluster's objects, as they are kept, to a job's list."""

    new: float
    """Of a model that wasn't planned before."""
    told: float
    """Likewise, with all that isn't listed put into words, too."""
    again: float
    """Of one that was, as when the cluster has changed."""
    capacity: float
    """What the cluster has, which is a part of each."""


def time_plan(state: ClusterState, repeat: int) -> Planning:
    """A job planned over a cluster."""
    known, new = make_job(MODELS[1]), [make_job(MODELS[1], 1000 + n) for n in range(2 * repeat)]

    def ask(job: tuple[FineTuneJobSpec, Facts]) -> PlanSet:
        return plan(*job, state.capacity("the cluster"))

    def tell_all() -> int:
        found = ask(new.pop())
        return len(found.unlisted) + len(found.other_rejected)

    return Planning(
        new=fastest(lambda: ask(new.pop()), repeat),
        told=fastest(tell_all, repeat),
        again=fastest(lambda: ask(known), 1 + repeat),
        capacity=fastest(lambda: state.capacity("the cluster"), repeat),
    )


def time_events(state: ClusterState, nodes: int, pods: int, repeat: int) -> float:
    """Seconds of a pod that comes or goes, in a cluster with all the others."""
    coming = [make_pod(number, nodes) for number in range(pods, pods + 1000)]

    def come_and_go() -> None:
        for pod in coming:
            state.add_pod(pod)
        for pod in coming:
            state.remove_pod(pod)

    return fastest(come_and_go, repeat) / (2 * len(coming))


def time_import(repeat: int) -> tuple[float, tuple[str, ...]]:
    """Seconds until a new process has the planner, and what of the heavy packages came with it."""
    code = (
        "import sys, time; begun = time.process_time(); import finetune_operator.planner.planner; "
        f"print(time.process_time() - begun, *[m for m in {HEAVY!r} if m in sys.modules])"
    )
    start = [sys.executable, "-c", code]
    runs = [subprocess.run(start, check=True, capture_output=True, text=True) for _ in range(min(5, repeat))]
    found = [run.stdout.split() for run in runs]
    return min(float(f[0]) for f in found), tuple(found[0][1:])


def measure(nodes: int, pods: int, repeat: int) -> dict[str, Any]:
    """All figures."""
    state, turn = make_state(nodes, pods), calibrate()
    capacity = state.capacity("the cluster")
    # without pods no two classes have the same devices: each decision is worked out, none is found again
    decision, solved = time_decisions(make_state(nodes, 0).capacity("the cluster"), repeat)
    planned = time_plan(state, repeat)
    event, (loading, heavy) = time_events(state, nodes, pods, repeat), time_import(repeat)
    turn = min(turn, calibrate())
    lines = (
        ("sizing decisions", 1 / decision, "a second", decision, ">= 10000"),
        ("a sizing decision", 1e6 * decision, "us", decision, "<= 100"),
        (f"a job planned over {nodes} nodes", 1e3 * planned.new, "ms", planned.new, "<= 20"),
        ("the same, with every way in words", 1e3 * planned.told, "ms", planned.told, ""),
        ("a job of the same model planned again", 1e3 * planned.again, "ms", planned.again, "<= 20"),
        ("of that, the cluster's capacity", 1e3 * planned.capacity, "ms", planned.capacity, ""),
        (f"a pod event beside {pods} pods", 1e6 * event, "us", event, "<= 50"),
        ("loading the planner", 1e3 * loading, "ms", loading, ""),
    )
    figures = [Figure(name=n, value=v, unit=u, seconds=s, turns=s / turn, wanted=w) for n, v, u, s, w in lines]
    return {
        "python": sys.version.split()[0],
        "turn_ns": 1e9 * turn,
        "nodes": nodes,
        "pods": pods,
        "classes": len(capacity.classes),
        "decisions": solved,
        "heavy": heavy,
        "figures": [asdict(f) for f in figures],
    }


def show(found: dict[str, Any]) -> None:
    """The figures for reading."""
    print(f"Python {found['python']}; a turn of the plain loop takes {found['turn_ns']:.1f} ns")
    print(
        f"{found['nodes']} nodes in {found['classes']} classes, {found['pods']} pods; {found['decisions']} decisions\n"
    )
    print(f"{'':40}{'measured':>12} {'':10}{'turns':>12}  wanted")
    for row in found["figures"]:
        print(f"{row['name']:40}{row['value']:>12.1f} {row['unit']:10}{row['turns']:>12.0f}  {row['wanted']}")
    print(f"\nheavy packages loaded: {', '.join(found['heavy']) or 'none'}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=15, help="times that each thing is measured")
    asked = parser.parse_args(arguments)
    found = measure(asked.nodes, asked.pods, asked.repeat)
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
