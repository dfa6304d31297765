"""A control plane for load: nodes that nobody has, whose pods read, train and end well by themselves."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from tests.support.fleet import FACTS, RESULT, bound_claim, define, make_job
from tests.support.kubernetes.binaries import find_command
from tests.support.kubernetes.control_plane import ControlPlane, control_plane
from tests.support.kubernetes.gpu_nodes import H100, create_nodes, make_node
from tests.support.kubernetes.kwok import STAGES, kwok

from finetune_operator.renderers.names import COMPONENT_LABEL
from finetune_trainer.events import Event, format_event

NAMESPACE: Final = "load"

READING: Final = 200
"""Milliseconds that an inspection takes."""

TRAINING: Final = 2000
"""And a training: long enough to be seen running."""

TICKS: Final = os.sysconf("SC_CLK_TCK")
"""A second, in /proc."""


def make_load(name: str) -> dict[str, Any]:
    """A job of one device; equal to others but for its output, as a sweep's are."""
    return make_job(
        name,
        NAMESPACE,
        {
            "spec.method": "LoRA",
            "spec.hardware": {"nodes": 1, "devicesPerNode": 1},
            "spec.plan.option": "recommended",
        },
    )


def _ends(component: str, said: Event, milliseconds: int) -> dict[str, Any]:
    """What becomes of a running pod: it ends well, and has said so."""
    container = {"ready": False, "started": False, "restartCount": 0, "imageID": ""}
    state = {"exitCode": 0, "reason": "Completed", "message": format_event(said)}
    written = "\n".join(f"    {name}: {json.dumps(value)}" for name, value in state.items())
    fields = "\n".join(f"  {name}: {json.dumps(value)}" for name, value in container.items())
    template = f"""{{{{ $now := Now | Quote }}}}
phase: Succeeded
containerStatuses:
{{{{ range .spec.containers }}}}
- name: {{{{ .name | Quote }}}}
  image: {{{{ .image | Quote }}}}
{fields}
  state:
   terminated:
{written}
    startedAt: {{{{ $now }}}}
    finishedAt: {{{{ $now }}}}
{{{{ end }}}}
"""
    wanted = (
        {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
        {"key": ".status.phase", "operator": "In", "values": ["Running"]},
        {"key": f'.metadata.labels["{COMPONENT_LABEL}"]', "operator": "In", "values": [component]},
    )
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": f"{component}-ends"},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": list(wanted)},
            "delay": {"durationMilliseconds": milliseconds},
            "next": {"statusTemplate": template},
        },
    }


def write_stages(file: Path) -> Path:
    """Those of the tests, and ends."""
    own = (_ends("inspection", FACTS, READING), _ends("trainer", RESULT, TRAINING))
    found = [*yaml.safe_load_all(STAGES.read_text(encoding="utf-8")), *own]
    file.write_text(yaml.safe_dump_all(found, sort_keys=False), encoding="utf-8")
    return file


@contextmanager
def load_cluster(folder: Path, nodes: int) -> Iterator[ControlPlane]:
    """Control plane, nodes of eight devices, the definition, a bound claim; no operator."""
    with control_plane(folder, find_command()) as plane, kwok(plane, write_stages(folder / "stages.yaml")):
        kubectl = plane.kubectl
        define(kubectl)
        kubectl.make_namespace(NAMESPACE)
        kubectl.create(*bound_claim(NAMESPACE))
        create_nodes(kubectl, [make_node(f"n{number}", H100) for number in range(nodes)], seconds=300)
        yield plane


@dataclass(frozen=True, slots=True)
class Used:
    """What a process has used so far."""

    cpu: float
    """Seconds of the processor."""
    peak: int
    """Bytes of resident memory, at most."""


def used(pid: int) -> Used:
    """By /proc: its own, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    return Used(cpu=(int(fields[11]) + int(fields[12])) / TICKS, peak=peak)


def cluster_cpu(plane: ControlPlane) -> float:
    """Seconds that etcd, API server, controllers and scheduler have used together."""
    return sum(used(p.pid).cpu for p in plane.processes.values() if p.pid is not None)
