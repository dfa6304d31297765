"""`kubectl finetune` against a kubectl that answers what a test says, and jobs as a cluster holds them."""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetune_operator.api.status import Offload
from finetune_operator.lifecycle.options import advice_status, option_statuses, rejected_statuses
from finetune_operator.planner.plan import Advice, Hardware, Rejection, RejectionReason
from finetune_operator.units import GIB, Bytes
from tests.support.plans import make_plan

PROGRAM: Final = Path(__file__).with_name("fake_kubectl.py")
RESOURCE: Final = "finetunejobs.finetune-operator.dev"
UID: Final = "0f0e0d0c-0000-4000-8000-000000000001"
WHEN: Final = "2026-01-02T03:04:05Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One time that kubectl was asked."""

    arguments: list[str]
    given: str

    @property
    def object(self) -> Any:
        """What it was given on standard input."""
        return json.loads(self.given)


class FakeKubectl:
    """The only program on the path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answers: list[dict[str, Any]] = []
        program = folder / "kubectl"
        command = shlex.join([sys.executable, "-S", "-E", str(PROGRAM), str(folder)])
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        self._write()

    def answer(self, *when: str, **what: Any) -> None:
        """Say what is answered where all those words are among the arguments: out, err, code, hang, archive."""
        out = what.pop("out", "")
        text = out if isinstance(out, str) else json.dumps(out)
        self._answers.append({"when": list(when), "out": text, **what})
        self._write()

    def holds(self, *jobs: dict[str, Any]) -> None:
        """Answer with that job; several are its states one after the other."""
        for job in jobs:
            self.answer("get", RESOURCE, job["metadata"]["name"], "--output=json", out=job)

    @property
    def asked(self) -> list[Call]:
        """All that was asked, in order."""
        log = self._folder / "asked.jsonl"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [Call(**json.loads(line)) for line in lines]

    def calls(self, verb: str) -> list[Call]:
        """Those of one verb."""
        return [c for c in self.asked if verb in c.arguments]

    def _write(self) -> None:
        (self._folder / "answers.json").write_text(json.dumps(self._answers), encoding="utf-8")


def make_condition(kind: str, status: str, reason: str, message: str = "said") -> dict[str, Any]:
    """One condition as the API server gives it."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": WHEN,
    }


def make_cluster_job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A job as the API server gives it."""
    whole = {"output": {"volume": {"claimName": "adapters", "path": "tickets/out"}}}
    return {
        "apiVersion": "finetune-operator.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tickets", "namespace": "support", "uid": UID, "generation": 1},
        "spec": whole | spec,
        "status": {"observedGeneration": 1} | (status or {}),
    }


def make_listed(**more: Any) -> dict[str, Any]:
    """Status of a job with two viable options and one that isn't, which waits for a choice."""
    plans = (make_plan(), make_plan(id="qlora-1x24g", because="takes the least memory"))
    rejected = Rejection(
        option="full-1x24g",
        reason=RejectionReason.OUT_OF_MEMORY,
        message="needs 118.2 GiB a device, a device has 24.0 GiB",
        remedy="would fit: 2 devices of 80 GiB at ZeRO-3",
        likewise=("full-z3-1x24g",),
    )
    waits = make_condition("Planned", "False", "AwaitingSelection", "2 ways are viable")
    return {
        "conditions": [make_condition("Accepted", "True", "Valid"), waits],
        "options": [o.model_dump(mode="json", by_alias=True) for o in option_statuses(plans)],
        "rejected": [r.model_dump(mode="json", by_alias=True) for r in rejected_statuses([rejected])],
        **more,
    }


def make_advice() -> dict[str, Any]:
    """Hardware that a full fine-tuning would take."""
    need = Hardware(
        option="full-z3-2x80g",
        zero_stage=3,
        offload=Offload.NONE,
        devices=2,
        nodes=1,
        memory=Bytes(80 * GIB),
        cores=16,
        ram=Bytes(128 * GIB),
        disk=Bytes(200 * GIB),
    )
    advice = advice_status(Advice(minimum=need, recommended=need))
    assert advice is not None
    return advice.model_dump(mode="json", by_alias=True)


def make_event(job: dict[str, Any], kind: str = "MODIFIED") -> str:
    """A line of a watch; kubectl writes it over several."""
    return json.dumps({"type": kind, "object": job}, indent=4) + "\n"


def make_running(step: int, **more: Any) -> dict[str, Any]:
    """Status of a job that is at that step of 45."""
    progress = {
        "step": step,
        "steps": 45,
        "epoch": f"{step / 15:.2f}",
        "loss": f"{2 / step:.4f}",
        "learningRate": "2e-4",
        "tokensPerSecond": 2310,
        "remaining": f"{45 - step}s",
        "updatedAt": WHEN,
    }
    running = make_condition("Running", "True", "Running", "training")
    return {
        "plan": {"option": "lora-1x24g", "hash": "sha256:1"},
        "conditions": [running],
        "progress": progress,
        **more,
    }


def make_failed(reason: str, **attempt: Any) -> dict[str, Any]:
    """Status of a job that has failed in its only attempt, or before one."""
    ended = {
        "number": 1,
        "job": "tickets-0f0e0d0c-1",
        "startedAt": WHEN,
        "finishedAt": WHEN,
        "outcome": reason,
        "message": "why",
    }
    failed = make_condition("Failed", "True", reason, "the sentence")
    return {"conditions": [failed], "attempts": [ended | attempt] if attempt else []}


def make_succeeded() -> dict[str, Any]:
    """Status of a job that is done."""
    done = make_condition("Succeeded", "True", "Completed", "the output is complete and validated")
    return make_running(45) | {
        "conditions": [make_condition("Running", "False", "Finished", "training has ended"), done],
        "memory": {"predicted": "9.0GiB", "measured": "9.3GiB", "error": "+3%"},
        "evaluation": {
            "rows": 64,
            "baseline": {"loss": "2.1", "json-exact": "0"},
            "tuned": {"loss": "0.02", "json-exact": "0.95"},
            "decision": "Keep",
            "because": "json-exact went from 0.0% to 95.0%",
            "nextStep": "serve the adapter",
        },
        "output": {"path": "/output/tickets/out", "bytes": 19588456, "digest": "sha256:dd0f6a55"},
        "attempts": [
            {
                "number": 1,
                "job": "tickets-0f0e0d0c-1",
                "startedAt": WHEN,
                "finishedAt": WHEN,
                "outcome": "Completed",
                "exitCode": 0,
                "message": "done",
            }
        ],
    }


def make_child(kind: str, name: str, *, made: str = WHEN, uid: str = UID, **labels: str) -> dict[str, Any]:
    """A Job or a pod of a job's."""
    meta = {"name": name, "creationTimestamp": made, "labels": labels, "ownerReferences": [{"uid": uid}]}
    return {"apiVersion": "batch/v1", "kind": kind, "metadata": meta}
