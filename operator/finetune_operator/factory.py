"""Puts the parts of the operator together."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web

from finetune_operator.config import Settings
from finetune_operator.health import Check, make_app
from finetune_operator.kube import connection
from finetune_operator.kube.client import Client
from finetune_operator.kube.events import EventRecorder
from finetune_operator.kube.kinds import Kind, Object
from finetune_operator.kube.lease import Elector
from finetune_operator.kube.metrics import Metrics
from finetune_operator.kube.mirror import SELECTORS, Listener, Matters, Mirror, Scope
from finetune_operator.kube.ports import Reconciler
from finetune_operator.kube.rest import RestClient
from finetune_operator.kube.store import Store
from finetune_operator.kube.tasks import first_end
from finetune_operator.kube.worker import Workers
from finetune_operator.kube.workqueue import WorkQueue
from finetune_operator.planner.planner import plan
from finetune_operator.reconciler.gather import World
from finetune_operator.reconciler.hardware import SeenHardware
from finetune_operator.reconciler.news import matters
from finetune_operator.reconciler.plans import PlanCache
from finetune_operator.reconciler.reconcile import Reconciler as JobReconciler
from finetune_operator.reconciler.resource import waits_for_devices
from finetune_operator.renderers.settings import RenderSettings

STUCK: Final = timedelta(minutes=10)
"""A pass that takes this long hangs: every request in it ends within a minute."""

MISSED_RESYNCS: Final = 3
"""Lists of everything that may fail in a row before a restart is the better way."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a reconciler works with."""

    settings: Settings
    store: Store
    client: Client
    recorder: EventRecorder
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Logic:
    """What decides, and what it wants to be told and asked."""

    reconciler: Reconciler
    waits: Callable[[Object], bool]
    """Whether a FineTuneJob, as the API server has it, waits for devices."""
    listeners: tuple[Listener, ...] = ()
    matters: Matters = lambda *_: True
    """Of what a job owns, which changes it is looked at for."""


MakeLogic = Callable[[Tools], Logic]


def make_logic(tools: Tools) -> Logic:
    """The operator's own: what is seen of hardware, and passes over jobs."""
    hardware = SeenHardware()

    def notice(kind: Kind, change: str, obj: Object) -> None:
        tools.store.observe(kind, change, obj)
        hardware.observe(kind, change, obj)

    reconciler = JobReconciler(
        world=World(tools.store, hardware, PlanCache(plan)),
        client=tools.client,
        recorder=tools.recorder,
        notice=notice,
        settings=_rendering(tools.settings),
        now=tools.now,
    )
    return Logic(reconciler=reconciler, waits=waits_for_devices, listeners=(hardware.observe,), matters=matters)


def _rendering(settings: Settings) -> RenderSettings:
    return RenderSettings(
        trainer_image=settings.trainer_image,
        image_pull_policy=settings.trainer_pull_policy.value,
        user=settings.trainer_user,
        grace_seconds=int(settings.trainer_grace.total_seconds()),
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """The operator, put together and not started."""

    settings: Settings
    connection: connection.Connection
    mirror: Mirror
    queue: WorkQueue
    workers: Workers
    elector: Elector | None
    metrics: Metrics

    async def work(self) -> None:
        """Work as long as this process leads; ends by being cancelled.

        Raises:
            LeaseLostError: another process may lead by now.
        """
        if self.elector is None:
            await self.workers.run()
            return
        leading = self.metrics.is_leader.labels(self.settings.lease_name)
        leading.set(0)
        try:
            await self.elector.acquire()
            leading.set(1)
            await first_end(self.elector.keep(), self.workers.run())
        finally:
            leading.set(0)
            await self.elector.release()

    def health(self) -> web.Application:
        """Pages about these parts."""
        alive: Mapping[str, Check] = {"passes": self._is_stuck, "lists": self._is_stale}
        return make_app(alive, {"lists": self._is_empty}, self.metrics.registry)

    def _is_stuck(self) -> str | None:
        seconds = self.queue.longest_work()
        return f"one has been under way for {seconds:.0f} s" if seconds > STUCK.total_seconds() else None

    def _is_stale(self) -> str | None:
        if self.mirror.filled_at is None:
            return None
        age = asyncio.get_running_loop().time() - self.mirror.filled_at
        limit = MISSED_RESYNCS * self.settings.resync.total_seconds() + STUCK.total_seconds()
        return f"the last complete one was {age:.0f} s ago" if age > limit else None

    def _is_empty(self) -> str | None:
        return "the cluster's objects haven't been listed yet" if self.mirror.filled_at is None else None


@asynccontextmanager
async def make_parts(settings: Settings, make_logic: MakeLogic) -> AsyncIterator[Parts]:
    """Everything but the watch; ends its connections in the end.

    Raises:
        KubeError: the API server can't be reached.
    """
    metrics, identity = Metrics(), settings.identity or f"{socket.gethostname()}_{secrets.token_hex(4)}"
    joined = await connection.load(settings.kubeconfig, settings.context)
    client = RestClient(joined.configuration, observe=metrics.count_request)
    try:
        store, queue = Store(), WorkQueue(metrics)
        recorder = EventRecorder(client, identity, _now)
        logic = make_logic(Tools(settings, store, client, recorder, _now))
        scope = Scope(settings.namespaces, await _served(client))
        mirror = Mirror(client, store, queue, waits=logic.waits, scope=scope, matters=logic.matters)
        mirror.listeners.extend(logic.listeners)
        workers = Workers(queue, logic.reconciler, metrics, number=settings.workers)
        elector = _elector(settings, client, identity)
        yield Parts(settings, joined, mirror, queue, workers, elector, metrics)
    finally:
        await client.close()


async def _served(client: Client) -> tuple[Kind, ...]:
    """The kinds to watch; a server without device slices has its devices told by nodes alone."""
    return tuple([kind for kind in SELECTORS if await client.serves(kind)])


def _elector(settings: Settings, client: Client, identity: str) -> Elector | None:
    if not settings.leader_election:
        return None
    return Elector(client, (settings.namespace_of_lease(), settings.lease_name), identity, now=_now)


def _now() -> datetime:
    # a condition's time has no fractions of a second
    return datetime.now(UTC).replace(microsecond=0)
