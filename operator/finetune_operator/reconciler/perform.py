"""What a pass wants done, done; and one write of the status, none where nothing changed."""

from typing import assert_never

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.constants import API_VERSION, KIND
from finetune_operator.kube.client import Client, Propagation
from finetune_operator.kube.errors import AlreadyExistsError
from finetune_operator.kube.kinds import BY_NAME, FINE_TUNE_JOBS, Kind, Object, kind_of
from finetune_operator.lifecycle.actions import Action, Apply, Decision, Delete
from finetune_operator.lifecycle.observed import Observed
from finetune_operator.reconciler.ports import Notice


async def perform(decision: Decision, seen: Observed, client: Client, notice: Notice) -> None:
    """Make and remove objects, in that order.

    Args:
        decision: of this step.
        seen: what it was decided on.
        client: writes.
        notice: takes in what the API server answers, before a watch tells it.

    Raises:
        KubeError: the API server refused; what was done before stands, and the next pass goes on from there.
    """
    for action in decision.actions:
        await _do(action, seen, client, notice)


async def tell(status: FineTuneJobStatus, seen: Observed, client: Client, notice: Notice) -> bool:
    """Write the status, where it isn't what was seen; whether it was written.

    Raises:
        KubeError: the API server refused.
    """
    if status == seen.status:
        return False
    written = await client.apply_status(FINE_TUNE_JOBS, _with_status(seen, status))
    if written is not None:
        notice(FINE_TUNE_JOBS, "", written)
    return written is not None


async def _do(action: Action, seen: Observed, client: Client, notice: Notice) -> None:
    match action:
        case Apply():
            kind = kind_of(action.manifest)
            notice(kind, "", await _make(kind, dict(action.manifest), client))
        case Delete():
            kind, key = BY_NAME[action.api_version, action.kind], (seen.identity.namespace, action.name)
            # pods first: until they are gone their devices aren't free, and their name is taken
            await client.delete(kind, key, uid=action.uid, propagation=Propagation.FOREGROUND)
        case _ as never:
            assert_never(never)


async def _make(kind: Kind, manifest: Object, client: Client) -> Object:
    """What is asked for is hardly ever there already, and creating costs the API server half of what applying does."""
    try:
        return await client.create(kind, manifest)
    except AlreadyExistsError:
        return await client.apply(kind, manifest)


def _with_status(seen: Observed, status: FineTuneJobStatus) -> Object:
    identity = seen.identity
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        # with the UID: an object of that name that came after ours isn't told another one's story
        "metadata": {"name": identity.name, "namespace": identity.namespace, "uid": identity.uid},
        "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
