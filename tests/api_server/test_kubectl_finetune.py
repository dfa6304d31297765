"""`kubectl finetune` against a real API server: what is written, by whom, and what is refused."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.cli import Said
from tests.support.kubectl import make_failed, make_listed, make_running, make_succeeded
from tests.support.kubernetes.kubectl import Kubectl
from tests.support.kubernetes.waiting import wait_for

ROOT: Final = Path(__file__).parents[2]
PROGRAM: Final = str(Path(sys.executable).with_name("kubectl-finetune"))
KIND: Final = "finetunejobs.finetune-operator.dev"
VOLUME: Final = {"claimName": "data", "path": "tickets"}
CHOSEN: Final = {"option": "lora-1x24g", "hash": "sha256:1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """The program as a user has it, with a kubectl on the path, and one namespace of a cluster."""

    kubectl: Kubectl
    namespace: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Ours, with that kubectl before all others."""
        path = f"{self.folder}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.kubectl.kubeconfig), "COLUMNS": "200"}

    def command(self, *arguments: str) -> list[str]:
        return [PROGRAM, *arguments, "--namespace", self.namespace]

    def run(self, *arguments: str) -> Said:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def job(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kubectl.read(KIND, "tickets", "-n", self.namespace, "--show-managed-fields")
        return found

    def report(self, status: Mapping[str, Any]) -> None:
        """What an operator would write, of the spec as it is."""
        seen = {"observedGeneration": self.job()["metadata"]["generation"], **status}
        self.kubectl.patch_status(KIND, "tickets", seen, namespace=self.namespace)

    def written_by(self, manager: str) -> dict[str, Any]:
        """Fields of the spec that a manager owns, by operation."""
        entries = self.job()["metadata"]["managedFields"]
        return {e["operation"]: e["fieldsV1"]["f:spec"] for e in entries if e["manager"] == manager}


@pytest.fixture
def plugin(kubectl: Kubectl, namespace: str, tmp_path: Path) -> Plugin:
    """A job that was submitted and whose options are listed."""
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl.wait_for_condition("crd", KIND, "Established")
    program = tmp_path / "kubectl"
    first, *more = kubectl.program
    # by its place: a kubectl that is found on the path would find this one
    command = shlex.join([shutil.which(first) or first, *more])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    job = {
        "apiVersion": "finetune-operator.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tickets"},
        "spec": {
            "model": {"source": {"volume": VOLUME}},
            "dataset": {"train": {"source": {"volume": VOLUME}}, "evaluation": {"fraction": "0.1"}},
            "output": {"volume": VOLUME},
        },
    }
    (tmp_path / "job.yaml").write_text(json.dumps(job), encoding="utf-8")
    made = Plugin(kubectl=kubectl, namespace=namespace, folder=tmp_path)
    submitted = made.run("submit", "job.yaml")
    assert submitted.code == 0, submitted.err
    made.report(make_listed())
    return made


def test_a_choice_is_our_own_field_and_stays_when_the_file_is_submitted_again(plugin: Plugin) -> None:
    assert "★ recommended: lora-1x24g" in plugin.run("options", "tickets").out
    assert plugin.run("select", "tickets", "qlora-1x24g").code == 0
    assert plugin.written_by("finetune-cli") == {"Apply": {"f:plan": {"f:option": {}}}}
    assert "f:plan" not in plugin.written_by("kubectl")["Apply"]
    before = plugin.job()
    assert "is chosen already" in plugin.run("select", "tickets", "qlora-1x24g").out
    assert plugin.run("submit", "job.yaml").code == 0
    assert plugin.job() == before
    manifest = str(plugin.folder / "job.yaml")
    assert plugin.kubectl.run("diff", "--server-side", "-n", plugin.namespace, "-f", manifest) == ""


def test_a_choice_that_is_planned_with_is_not_changed(plugin: Plugin) -> None:
    plugin.run("select", "tickets", "lora-1x24g")
    plugin.report(make_listed(plan=CHOSEN))
    refused = plugin.run("select", "tickets", "qlora-1x24g")
    assert refused.code == 5
    assert 'error: kubectl: The FineTuneJob "tickets" is invalid: spec.plan: ' in refused.err
    assert plugin.job()["spec"]["plan"] == {"option": "lora-1x24g"}


def test_a_file_that_says_otherwise_does_not_overwrite_a_choice(plugin: Plugin) -> None:
    plugin.run("select", "tickets", "lora-1x24g")
    path = plugin.folder / "job.yaml"
    job = json.loads(path.read_text(encoding="utf-8"))
    job["spec"]["plan"] = {"option": "qlora-1x24g"}
    path.write_text(json.dumps(job), encoding="utf-8")
    refused = plugin.run("submit", "job.yaml")
    assert refused.code == 5
    assert 'conflict with "finetune-cli": .spec.plan.option; others wrote them' in refused.err


def test_holding_a_job_leaves_its_choice(plugin: Plugin) -> None:
    plugin.run("select", "tickets", "lora-1x24g")
    assert plugin.run("suspend", "tickets").out.startswith("tickets: is to stop with a checkpoint\n")
    assert plugin.run("suspend", "tickets").out.startswith("tickets: is suspended already\n")
    spec = plugin.job()["spec"]
    assert (spec["plan"], spec["suspend"]) == ({"option": "lora-1x24g"}, True)
    assert plugin.run("resume", "tickets").code == 0
    assert plugin.job()["spec"]["suspend"] is False


def test_a_job_is_watched_to_its_end(plugin: Plugin) -> None:
    with plugin.start("status", "tickets", "--watch") as watching:
        assert watching.stdout is not None
        assert "said" in watching.stdout.readline()
        plugin.report(make_running(15))
        while "step 15/45" not in watching.stdout.readline():
            assert watching.poll() is None
        plugin.report(make_failed("OutOfMemory", exitCode=20))
        assert watching.wait() == 20


def test_a_deleted_job_takes_what_it_made_with_it(plugin: Plugin) -> None:
    uid = plugin.job()["metadata"]["uid"]
    owner = {"apiVersion": "finetune-operator.dev/v1alpha1", "kind": "FineTuneJob", "name": "tickets", "uid": uid}
    metadata = {
        "name": "made",
        "namespace": plugin.namespace,
        "ownerReferences": [owner | {"blockOwnerDeletion": True}],
    }
    plugin.kubectl.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    deleted = plugin.run("delete", "tickets", "--wait")
    assert (deleted.code, deleted.out.splitlines()[0]) == (0, "tickets: is deleted")
    assert plugin.kubectl.read("configmap", "made", "-n", plugin.namespace) is None
    gone = plugin.run("status", "tickets")
    assert (gone.code, gone.err.partition(";")[0]) == (5, "error: tickets: no such job in this namespace")


def test_the_pod_that_reads_a_report_is_let_in_where_restricted_is_enforced_and_goes(plugin: Plugin) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    plugin.kubectl.run("label", "namespace", plugin.namespace, label)
    plugin.report(make_succeeded())
    selector = ("pods", "-n", plugin.namespace, "-l", "app.kubernetes.io/name=finetune-report")
    with plugin.start("report", "tickets", "--image", "none:1") as copying:
        (pod,) = wait_for(lambda: plugin.kubectl.items(*selector), "the pod")
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        copying.send_signal(signal.SIGINT)
        assert copying.wait() == 130
    wait_for(lambda: not plugin.kubectl.items(*selector), "no pod")
    assert not (plugin.folder / "tickets").exists()
