"""A reconciler on a cluster in memory, and the parts of a cluster that a test plays: kubelets, and time."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from finetune_operator.kube.kinds import CONFIG_MAPS, FINE_TUNE_JOBS, JOBS, NODES, PODS, Kind, Object, uid_of
from finetune_operator.kube.store import Store
from finetune_operator.lifecycle.transitions import Note
from finetune_operator.planner.planner import plan
from finetune_operator.reconciler.gather import World
from finetune_operator.reconciler.hardware import SeenHardware
from finetune_operator.reconciler.plans import PlanCache
from finetune_operator.reconciler.reconcile import Reconciler
from finetune_operator.renderers.names import TRAINER_CONTAINER
from finetune_trainer.events import Event, format_event
from tests.support.fake_cluster import BORN, FakeCluster
from tests.unit.lifecycle.pods import ended
from tests.unit.lifecycle.worlds import IDENTITY, SETTINGS, make_cluster_job

KEY = (IDENTITY.namespace, IDENTITY.name)


class Stage:
    """Everything that a job meets."""

    def __init__(self, *, nodes: int = 1, gpus: int = 8) -> None:
        self.cluster = FakeCluster()
        self.store, self.hardware = Store(), SeenHardware()
        self.notes: list[Note] = []
        self.now = BORN + timedelta(minutes=1)
        self.cluster.watchers.append(self._observe)
        for index in range(nodes):
            self.cluster.add(NODES, make_node(f"n{index}", gpus))
        self.reconciler = Reconciler(
            World(self.store, self.hardware, PlanCache(plan)),
            self.cluster,
            self,
            self._observe,
            SETTINGS,
            lambda: self.now,
        )

    def _observe(self, kind: Kind, change: str, obj: Object) -> None:
        self.store.observe(kind, change, obj)
        self.hardware.observe(kind, change, obj)

    async def record(self, regarding: Object, note: Note) -> None:
        """Keep what would be an Event."""
        assert regarding["kind"] == "FineTuneJob"
        self.notes.append(note)

    def submit(self, **spec: Any) -> Object:
        """Apply a job, or apply it again."""
        job = make_cluster_job(**spec)
        value = job.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        old = next(iter(self.cluster.all_of(FINE_TUNE_JOBS)), {})
        meta = {"namespace": IDENTITY.namespace, "name": IDENTITY.name}
        return self.cluster.add(FINE_TUNE_JOBS, {**old, "metadata": {**old.get("metadata", meta)}, "spec": value})

    async def step(self, times: int = 1, after: float = 1) -> timedelta | None:
        """So many passes, each a while after the one before."""
        again = None
        for _ in range(times):
            self.now += timedelta(seconds=after)
            again = await self.reconciler.reconcile(KEY)
        return again

    @property
    def status(self) -> dict[str, Any]:
        """As the API server holds it."""
        found: dict[str, Any] = self.cluster.all_of(FINE_TUNE_JOBS)[0].get("status") or {}
        return found

    def jobs(self) -> list[str]:
        """Names of the Jobs that are there."""
        return [j["metadata"]["name"] for j in self.cluster.all_of(JOBS)]

    def config_maps(self) -> list[str]:
        """Likewise of ConfigMaps."""
        return [j["metadata"]["name"] for j in self.cluster.all_of(CONFIG_MAPS)]

    def run_pods(self, name: str, *, node: str = "n0") -> None:
        """Play the Job controller, the scheduler and the kubelet: the Job's pods run."""
        job = next(j for j in self.cluster.all_of(JOBS) if j["metadata"]["name"] == name)
        template = job["spec"]["template"]
        for index in range(job["spec"].get("completions") or 1):
            labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-completion-index": str(index)}
            running = [{"name": TRAINER_CONTAINER, "state": {"running": {}}}]
            owner = {"kind": "Job", "name": name, "uid": uid_of(job), "controller": True}
            meta = {
                "namespace": IDENTITY.namespace,
                "name": f"{name}-{index}-x",
                "labels": labels,
                "ownerReferences": [owner],
            }
            spec = {**template["spec"], "nodeName": node}
            self.cluster.add(
                PODS, {"metadata": meta, "spec": spec, "status": {"phase": "Running", "containerStatuses": running}}
            )

    def end_pods(self, name: str, code: int, said: Event) -> None:
        """Play them again: the Job's pods end, and with them the Job."""
        job = next(j for j in self.cluster.all_of(JOBS) if j["metadata"]["name"] == name)
        for pod in self.cluster.all_of(PODS):
            if pod["metadata"]["ownerReferences"][0]["uid"] == uid_of(job):
                status = ended(0, code, said=format_event(said))["status"]
                self.cluster.add(PODS, {**pod, "status": status})
        condition = {"type": "Failed" if code else "Complete", "status": "True", "message": "so it is"}
        self.cluster.add(JOBS, {**job, "status": {"conditions": [condition]}})

    def log(self, name: str, events: Sequence[Event]) -> None:
        """What the trainer has written so far."""
        text = "".join(format_event(e) + "\n" for e in events)
        self.cluster.logs[IDENTITY.namespace, f"{name}-0-x", TRAINER_CONTAINER] = text


def make_node(name: str, gpus: int) -> Object:
    """A node with GPUs as device plugin and feature discovery describe them."""
    resources = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "2Ti", "pods": "110", "nvidia.com/gpu": str(gpus)}
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.memory": "81920"}
    ready = {"type": "Ready", "status": "True"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {"capacity": resources, "allocatable": resources, "conditions": [ready]},
    }
