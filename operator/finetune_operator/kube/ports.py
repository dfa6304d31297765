"""What this layer needs from the one above it."""

from datetime import timedelta
from typing import Protocol

from finetune_operator.kube.kinds import Key


class Reconciler(Protocol):
    """Brings one FineTuneJob closer to what it asks for."""

    async def reconcile(self, key: Key) -> timedelta | None:
        """One pass, from what is there now; how long until it should be looked at again, if it should.

        Whatever it raises is logged, counted and tried again with a growing delay.
        """
