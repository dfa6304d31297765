"""One process leads: whoever holds the Lease. A leader that can't renew it in time says so by an error, and ends.

Clocks of different machines are never compared: a holder is dead when its Lease hasn't changed for as long as it was
promised to hold, by our own clock, since we first saw it so.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

from finetune_operator.kube.client import Client
from finetune_operator.kube.errors import ConflictError, KubeError
from finetune_operator.kube.kinds import LEASES, Key, Object

_log: Final = logging.getLogger(__name__)


class LeaseLostError(Exception):
    """Another process may lead by now: this one must do nothing more."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast a dead leader is replaced, and how many requests that costs."""

    duration: timedelta = timedelta(seconds=15)
    """How long a leader may be silent before another takes over; whole seconds."""
    deadline: timedelta = timedelta(seconds=10)
    """How long a leader tries to renew before it gives up; shorter than the duration, so that two never lead."""
    period: timedelta = timedelta(seconds=2)
    """Between two tries."""


DEFAULT_TIMING: Final = Timing()
"""As Kubernetes' own components have it."""

Clock = Callable[[], datetime]


class Elector:
    """Holds, or waits for, one Lease."""

    def __init__(
        self, client: Client, lease: Key, identity: str, *, now: Clock, timing: Timing = DEFAULT_TIMING
    ) -> None:
        self._client = client
        self._lease = lease
        self._identity = identity
        self._now = now
        self._timing = timing
        self._held: Object | None = None
        self._seen_version = ""
        self._seen_at = 0.0

    @property
    def is_leader(self) -> bool:
        """Whether the Lease was ours when we last looked."""
        return self._held is not None

    async def acquire(self) -> None:
        """Wait until this process leads."""
        _log.info("Waiting for the lease %s/%s as %s", *self._lease, self._identity)
        # another process's lease ends without anybody being told: there is no event to wait for
        while not await self._tried_to_take():  # noqa: ASYNC110
            await asyncio.sleep(self._timing.period.total_seconds())
        _log.info("Leading as %s", self._identity)

    async def keep(self) -> NoReturn:
        """Renew for as long as possible.

        Raises:
            LeaseLostError: another process holds the Lease, or it couldn't be renewed in time.
        """
        renewed_at = _time()
        while True:
            await asyncio.sleep(self._timing.period.total_seconds())
            left = renewed_at + self._timing.deadline.total_seconds() - _time()
            try:
                async with asyncio.timeout(max(left, 0.0)):
                    began = _time()
                    await self._renew()
                    renewed_at = began
            except (KubeError, TimeoutError) as e:
                if _time() >= renewed_at + self._timing.deadline.total_seconds():
                    self._held = None
                    raise LeaseLostError(f"the lease couldn't be renewed in time: {str(e) or 'no answer'}") from e
                _log.warning("The lease wasn't renewed, trying again: %s", e)

    async def release(self) -> None:
        """Give the Lease up, so that another process needn't wait; does nothing where it isn't held."""
        held, self._held = self._held, None
        if held is None:
            return
        try:
            await self._give_up(held)
        except KubeError as e:
            _log.warning("The lease wasn't released, the next leader waits for its end: %s", e)

    async def _give_up(self, held: Object) -> None:
        spec = held["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _stamp(self._now())}
        try:
            await self._client.replace(LEASES, {**held, "spec": spec})
        except ConflictError:
            # a renewal that was cut off may have been done
            ours = await self._ours()
            if ours is not None:
                await self._client.replace(LEASES, {**ours, "spec": spec})

    async def _tried_to_take(self) -> bool:
        try:
            async with asyncio.timeout(self._timing.deadline.total_seconds()):
                return await self._take()
        except ConflictError:
            return False
        except (KubeError, TimeoutError) as e:
            _log.warning("The lease can't be had yet: %s", e)
            return False

    async def _take(self) -> bool:
        lease = await self._client.get(LEASES, self._lease)
        if lease is None:
            namespace, name = self._lease
            metadata = {"namespace": namespace, "name": name}
            self._held = await self._client.create(LEASES, {"metadata": metadata, "spec": self._spec({})})
            return True
        if not self._is_free(lease):
            return False
        self._held = await self._client.replace(LEASES, {**lease, "spec": self._spec(lease.get("spec") or {})})
        return self._held is not None

    async def _renew(self) -> None:
        held = self._held
        if held is None:
            raise LeaseLostError("the lease isn't held")
        try:
            self._held = await self._client.replace(LEASES, {**held, "spec": self._spec(held["spec"])})
        except ConflictError:
            self._held = await self._ours()
        if self._held is None:
            raise LeaseLostError("the lease was taken away")

    async def _ours(self) -> Object | None:
        """The Lease as it is now, if it is still ours: an answer that never came may have renewed it."""
        lease = await self._client.get(LEASES, self._lease)
        is_ours = lease is not None and (lease.get("spec") or {}).get("holderIdentity") == self._identity
        return lease if is_ours else None

    def _is_free(self, lease: Object) -> bool:
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") in (None, "", self._identity):
            return True
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen_version:
            self._seen_version, self._seen_at = version, _time()
        return _time() >= self._seen_at + float(spec.get("leaseDurationSeconds") or 0)

    def _spec(self, old: dict[str, Any]) -> dict[str, Any]:
        now = _stamp(self._now())
        is_new = old.get("holderIdentity") != self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._timing.duration.total_seconds()),
            "acquireTime": now if is_new else old.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": old.get("leaseTransitions", 0) + (is_new and "leaseTransitions" in old),
        }


def _stamp(moment: datetime) -> str:
    """Kubernetes' MicroTime."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _time() -> float:
    return asyncio.get_running_loop().time()
