"""The operator without its logic, as a process: for each FineTuneJob it keeps one ConfigMap.

What is tested with it is everything around the logic: watch, queue, election, signals, health.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from finetune_operator.factory import Logic, Tools
from finetune_operator.handlers.run import main
from finetune_operator.kube.kinds import CONFIG_MAPS, FINE_TUNE_JOBS, Key, uid_of


@dataclass(frozen=True)
class Told:
    """What an Event says."""

    warning: bool
    reason: str
    message: str


@dataclass(frozen=True)
class Keeper:
    """Keeps one ConfigMap a job; a job with the label `fail` is one that can't be worked on."""

    tools: Tools

    async def reconcile(self, key: Key) -> timedelta | None:
        store = self.tools.store
        job = store.get(FINE_TUNE_JOBS, key)
        if job is None:
            return None
        if "fail" in (job["metadata"].get("labels") or {}):
            raise ValueError("made to fail")
        if not store.owned_by(CONFIG_MAPS, uid_of(job)):
            store.observe(CONFIG_MAPS, "", await self.tools.client.apply(CONFIG_MAPS, _config_map(job)))
            await self.tools.recorder.record(job, Told(warning=False, reason="Kept", message="made its map"))
        return None


def _config_map(job: Mapping[str, Any]) -> dict[str, Any]:
    metadata = job["metadata"]
    owner = {"apiVersion": job["apiVersion"], "kind": job["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "metadata": {
            "namespace": metadata["namespace"],
            "name": f"{metadata['name']}-map",
            "labels": {"app.kubernetes.io/managed-by": "finetune-operator"},
            "ownerReferences": [owner],
        },
        "data": {"generation": str(metadata["generation"])},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], lambda tools: Logic(Keeper(tools), waits=lambda _: False)))
