"""The cluster by kubectl, as its users have it."""

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.kubernetes.waiting import wait_for

Manifest = Mapping[str, Any]
"""An object as the API has it."""

DEADLINE_SECONDS: Final = 120.0
"""Guards against hanging."""


class KubectlError(RuntimeError):
    """Kubectl said no; the message is what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """Who asks which cluster."""

    program: tuple[str, ...]
    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """What it printed.

        Raises:
            KubectlError: it didn't exit with 0.
        """
        done = subprocess.run(
            [*self.program, "--kubeconfig", str(self.kubeconfig), *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        if done.returncode:
            raise KubectlError(done.stderr.strip())
        return done.stdout

    def read(self, *arguments: str) -> Any:
        """What `kubectl get` of that answers; None for one object that isn't there."""
        said = self.run("get", *arguments, "--ignore-not-found", "-o", "json")
        return json.loads(said) if said else None

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """All objects that `kubectl get` of that lists."""
        listed = self.read(*arguments)
        found: list[dict[str, Any]] = listed["items"] if listed else []
        return found

    def apply(self, *manifests: Manifest) -> None:
        """Apply as a person does, without a field manager's name of their own."""
        self.run("apply", "-f", "-", stdin=_as_list(manifests))

    def create(self, *manifests: Manifest) -> None:
        """Create; of a node that includes its status."""
        self.run("create", "-f", "-", stdin=_as_list(manifests))

    def patch_status(self, kind: str, name: str, status: Mapping[str, Any], *, namespace: str = "default") -> None:
        """Merge into an object's status."""
        patch = json.dumps({"status": status})
        self.run("patch", kind, name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)

    def make_namespace(self, name: str, **labels: str) -> None:
        """Create a namespace, and wait until pods can be created in it."""
        metadata = {"name": name, "labels": labels}
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        wait_for(lambda: self.read("serviceaccount", "default", "-n", name), f"service account of namespace {name}")

    def wait_for_condition(
        self, kind: str, name: str, condition: str, *, namespace: str = "default", seconds: float = 60.0
    ) -> dict[str, Any]:
        """The object, as soon as that condition is True."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] | None = self.read(kind, name, "-n", namespace)
            return found if found and has_condition(found, condition) else None

        return wait_for(look, f"{kind}/{name} {condition}", seconds=seconds)

    def owned_by(self, uid: str, *, namespace: str) -> list[dict[str, Any]]:
        """Every object of every kind that has that owner, or an owner that has it, and so on."""
        kinds = self.run("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
        return _descendants(self.items(",".join(kinds), "-n", namespace), {uid})


def has_condition(found: Manifest, condition: str) -> bool:
    """Whether the object's condition of that type is True."""
    conditions: Iterable[Manifest] = found.get("status", {}).get("conditions") or ()
    return any(c["type"] == condition and c["status"] == "True" for c in conditions)


def _as_list(manifests: Sequence[Manifest]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})


def _descendants(found: Iterable[dict[str, Any]], uids: set[str]) -> list[dict[str, Any]]:
    by_uid = {o["metadata"]["uid"]: o for o in found}
    known: dict[str, dict[str, Any]] = {}
    while new := {
        uid: o
        for uid, o in by_uid.items()
        if uid not in known and any(r["uid"] in uids | known.keys() for r in o["metadata"].get("ownerReferences", ()))
    }:
        known |= new
    return list(known.values())
