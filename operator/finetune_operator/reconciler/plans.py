"""Plans that were made, kept for whoever asks the same again: jobs that wait for a choice do so every minute."""

import json
from collections import OrderedDict
from dataclasses import replace
from functools import cache, partial
from typing import Any, Final

from finetune_operator.api.pods import PodTemplate
from finetune_operator.api.sources import Output, VolumeSource
from finetune_operator.api.spec import FineTuneJobSpec, Restarts
from finetune_operator.lifecycle.observed import Planner
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.deferred import Deferred
from finetune_operator.planner.facts import Facts
from finetune_operator.planner.plan import PlanSet

MOST: Final = 1024
"""Answers that are kept: one takes some 15 kB."""

UNASKED: Final = {
    "output": Output(volume=VolumeSource(claim_name="any", path="any")),
    "restarts": Restarts(),
    "suspend": False,
    "ttl_seconds_after_finished": None,
    "pod_template": PodTemplate(),
}
"""What no plan depends on; the planner is shown these in place of what a job has there."""


class PlanCache:
    """A planner that gives equal answers to equal questions without working them out again.

    The whole question is the key, so that no answer outlives what it was made of. Of an answer that is kept, the long
    lists that few look at are made anew for those who do.
    """

    def __init__(self, plan: Planner, most: int = MOST) -> None:
        self._plan = plan
        self._most = most
        self._kept: OrderedDict[tuple[Any, ...], PlanSet] = OrderedDict()

    def __call__(self, spec: FineTuneJobSpec, facts: Facts, capacity: Capacity) -> PlanSet:
        """As the planner; what it raises isn't kept."""
        asked = spec.model_copy(update=UNASKED)
        key = (*_key(asked, facts), capacity)
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            return _whole(known, partial(self._plan, asked, facts, capacity))
        found = self._plan(asked, facts, capacity)
        self._keep(key, replace(found, unlisted=(), other_rejected=(), turned_down=()))
        return found

    def _keep(self, key: tuple[Any, ...], found: PlanSet) -> None:
        self._kept[key] = found
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)


def _key(spec: FineTuneJobSpec, facts: Facts) -> tuple[Any, ...]:
    """Spec and facts as what can be hashed."""
    model = facts.model
    return spec.model_dump_json(), json.dumps(model.config, sort_keys=True), model.weight_bytes, facts.dataset


def _whole(known: PlanSet, plan: partial[PlanSet]) -> PlanSet:
    again = cache(plan)
    return replace(
        known,
        unlisted=Deferred(lambda: tuple(again().unlisted)),
        other_rejected=Deferred(lambda: tuple(again().other_rejected)),
        turned_down=Deferred(lambda: tuple(again().turned_down)),
    )
