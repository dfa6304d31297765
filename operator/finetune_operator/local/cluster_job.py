"""A FineTuneJob as a cluster holds it, and how it goes on."""

import codecs
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from finetune_operator.api.base import format_place
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.exceptions import ClusterError
from finetune_operator.lifecycle.phase import phase_of
from finetune_operator.local.kubectl import RESOURCE, Kubectl, NotFoundError

PATIENCE: Final = 5
"""Watches that may break off in a row with nothing seen."""

PAUSE_SECONDS: Final = 2.0
"""Before a watch that ended is begun again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterJob:
    """One FineTuneJob as it was read."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: Mapping[str, Any]
    """As the API server gives it: a newer operator may know more fields than we do."""
    status: FineTuneJobStatus
    raw: Mapping[str, Any]

    @property
    def is_seen(self) -> bool:
        """Whether the status is of the spec as it is now."""
        return self.status.observed_generation == self.generation

    def child(self, *path: str) -> Any:
        """What stands in the spec there; None where nothing does."""
        found: Any = self.spec
        for part in path:
            found = found.get(part) if isinstance(found, Mapping) else None
        return found


def read_cluster_job(kubectl: Kubectl, name: str) -> ClusterJob:
    """The job of that name.

    Raises:
        ClusterError: it isn't there, or the cluster refuses.
    """
    try:
        return parse_cluster_job(kubectl.ask_json("get", RESOURCE, name))
    except NotFoundError as e:
        raise ClusterError(
            f"{name}: no such job in this namespace; `kubectl get ftj -A` lists those of all namespaces: write "
            "--namespace with the right one"
        ) from e


def parse_cluster_job(found: Mapping[str, Any]) -> ClusterJob:
    """A job as the API server gives it; fields of the status that we don't know are left out.

    Raises:
        ClusterError: the object isn't one that we can read.
    """
    try:
        meta = found["metadata"]
        status = FineTuneJobStatus.model_validate(found.get("status") or {}, strict=False, extra="ignore")
        return ClusterJob(
            name=meta["name"],
            namespace=meta.get("namespace", ""),
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            spec=found.get("spec") or {},
            # printed from the conditions and never read
            status=status.model_copy(update={"phase": phase_of(status.conditions)}),
            raw=found,
        )
    except ValidationError as e:
        fault = e.errors()[0]
        raise ClusterError(
            f"status.{format_place(fault['loc'])}: {fault['msg']}; the operator is of another version than this "
            "program: install the same one"
        ) from e
    except (KeyError, TypeError) as e:
        raise ClusterError(f"kubectl's answer is not a FineTuneJob: {e} is missing") from e


def follow(kubectl: Kubectl, name: str, seconds: float | None = None) -> Iterator[ClusterJob]:
    """The job as it is, then after each change; ends when nobody asks any more.

    Args:
        kubectl: aimed at its namespace.
        name: of the job.
        seconds: how long; None: without end.

    Raises:
        ClusterError: there is no such job, it is deleted, or the cluster doesn't answer any more.
        TimeoutError: so many seconds have passed.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    # with a sentence of our own where it isn't there
    last = read_cluster_job(kubectl, name)
    yield last
    broken = 0
    while True:
        try:
            for job in _watch(kubectl, name, deadline):
                broken = 0
                if job.raw != last.raw:
                    yield job
                last = job
        except NotFoundError as e:
            raise ClusterError(f"{name} was deleted") from e
        except ClusterError as e:
            broken += 1
            if broken >= PATIENCE:
                raise
            kubectl.notify(f"{e}; trying again")
        # the API server ends every watch after a while
        time.sleep(PAUSE_SECONDS)


def _watch(kubectl: Kubectl, name: str, deadline: float | None) -> Iterator[ClusterJob]:
    with kubectl.stream("get", RESOURCE, name, "--watch", "--output-watch-events", "--output=json") as stream:
        for event in json_documents(stream.chunks(deadline)):
            if event.get("type") == "DELETED":
                raise NotFoundError(name)
            if event.get("type") in {"ADDED", "MODIFIED"}:
                yield parse_cluster_job(event["object"])
        stream.finish()


def json_documents(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Objects that follow one another, each as soon as its last byte is there."""
    decode, decoder, held = codecs.getincrementaldecoder("utf-8")(errors="replace"), json.JSONDecoder(), ""
    for chunk in chunks:
        held += decode.decode(chunk)
        while held := held.lstrip():
            try:
                value, end = decoder.raw_decode(held)
            except ValueError:
                break
            held = held[end:]
            yield value
