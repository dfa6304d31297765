"""One pass over one job: gather, decide, perform."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from finetune_operator.kube.client import Client
from finetune_operator.kube.kinds import FINE_TUNE_JOBS, Key, Object
from finetune_operator.lifecycle.actions import Apply, Decision
from finetune_operator.lifecycle.decide import decide
from finetune_operator.lifecycle.observed import Observed
from finetune_operator.lifecycle.transitions import transitions
from finetune_operator.reconciler.gather import World, gather, with_log
from finetune_operator.reconciler.perform import perform
from finetune_operator.reconciler.ports import Notice, Recorder
from finetune_operator.renderers.names import PLACEMENT_ANNOTATION
from finetune_operator.renderers.settings import RenderSettings


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings jobs forward; holds nothing that the API server doesn't."""

    world: World
    client: Client
    recorder: Recorder
    notice: Notice
    settings: RenderSettings
    now: Callable[[], datetime]
    _admission: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Two jobs that look at the same free devices at once would both be admitted."""

    async def reconcile(self, key: Key) -> timedelta | None:
        """One pass over the job of that namespace and name; when to look again by ourselves.

        Raises:
            KubeError: the API server refused; to be tried again.
        """
        found = self.world.store.get(FINE_TUNE_JOBS, key)
        if found is None or found["metadata"].get("deletionTimestamp"):
            # what it owns goes with it
            return None
        seen = await with_log(gather(self.world, found, self.now()), self.client)
        decision = decide(seen, self.settings)
        if not _starts(decision):
            return await self._perform(decision, seen, found)
        async with self._admission:
            # again: somebody else may have been admitted meanwhile
            seen = gather(self.world, found, self.now())
            return await self._perform(decide(seen, self.settings), seen, found)

    async def _perform(self, decision: Decision, seen: Observed, found: Object) -> timedelta | None:
        if await perform(decision, seen, self.client, self.notice):
            for note in transitions(seen.status, decision.status):
                await self.recorder.record(found, note)
        return decision.again


def _starts(decision: Decision) -> bool:
    """Whether devices will be taken."""
    return any(PLACEMENT_ANNOTATION in _annotations(a) for a in decision.actions if isinstance(a, Apply))


def _annotations(action: Apply) -> Mapping[str, str]:
    found: Mapping[str, str] = action.manifest["metadata"].get("annotations") or {}
    return found if action.manifest["kind"] == "Job" else {}
