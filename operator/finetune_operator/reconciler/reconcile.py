"""One pass over one job: gather, decide, perform, and on as long as there is something to make; then one status."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.kube.client import Client
from finetune_operator.kube.errors import ForbiddenError, KubeError
from finetune_operator.kube.kinds import FINE_TUNE_JOBS, Key, Object
from finetune_operator.lifecycle.actions import Apply, Decision
from finetune_operator.lifecycle.decide import decide
from finetune_operator.lifecycle.observed import Observed
from finetune_operator.lifecycle.transitions import notes
from finetune_operator.reconciler.gather import World, gather, with_log
from finetune_operator.reconciler.perform import perform, tell
from finetune_operator.reconciler.ports import Notice, Recorder
from finetune_operator.renderers.names import PLACEMENT_ANNOTATION
from finetune_operator.renderers.settings import RenderSettings

_log: Final = logging.getLogger(__name__)

STEPS: Final = 8
"""Of one pass, at most: from what was read to a started attempt there are three."""


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
        try:
            return await self._pass(key)
        except ForbiddenError as e:
            if not e.is_terminating:
                raise
            # all that is there goes with the namespace, this job too
            _log.info("Nothing is made in %s, which is being deleted", key[0])
            return None

    async def _pass(self, key: Key) -> timedelta | None:
        found = self.world.store.get(FINE_TUNE_JOBS, key)
        if found is None or found["metadata"].get("deletionTimestamp"):
            # what it owns goes with it
            return None
        first = await with_log(gather(self.world, found, self.now()), self.client, self.world.pace)
        decision = await self._advance(first, found)
        await self._tell(decision.status, first, found)
        return decision.again

    async def _advance(self, first: Observed, found: Object) -> Decision:
        """Step by step, as long as there is something to make; the last step's decision."""
        seen, left = first, STEPS
        while True:
            try:
                decision = await self._step(seen, found)
            except KubeError:
                # what was done before is told all the same
                await self._tell(seen.status, first, found)
                raise
            left -= 1
            if not left or not _goes_on(decision):
                return decision
            seen = self._look(found, decision.status)

    async def _step(self, seen: Observed, found: Object) -> Decision:
        decision = decide(seen, self.settings)
        if not _starts(decision):
            await perform(decision, seen, self.client, self.notice)
            return decision
        async with self._admission:
            # again: somebody else may have been admitted meanwhile
            seen = self._look(found, seen.status)
            decision = decide(seen, self.settings)
            await perform(decision, seen, self.client, self.notice)
            return decision

    def _look(self, found: Object, status: FineTuneJobStatus) -> Observed:
        """What is there now, with what is to be said of it so far."""
        return replace(gather(self.world, found, self.now()), status=status)

    async def _tell(self, status: FineTuneJobStatus, first: Observed, found: Object) -> None:
        if await tell(status, first, self.client, self.notice):
            for note in notes(first.status, status):
                await self.recorder.record(found, note)


def _goes_on(decision: Decision) -> bool:
    """Whether there is more to do at once: what was made is seen at once, what is removed takes its time."""
    return bool(decision.actions) and all(isinstance(a, Apply) for a in decision.actions)


def _starts(decision: Decision) -> bool:
    """Whether devices will be taken."""
    return any(PLACEMENT_ANNOTATION in _annotations(a) for a in decision.actions if isinstance(a, Apply))


def _annotations(action: Apply) -> Mapping[str, str]:
    found: Mapping[str, str] = action.manifest["metadata"].get("annotations") or {}
    return found if action.manifest["kind"] == "Job" else {}
