"""The main road by its users' commands: helm install, kubectl apply, options, select, progress, report, the adapter."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import pytest

from tests.cluster import audit
from tests.cluster.conftest import RESTRICTED, new_namespace, new_site
from tests.cluster.helm import CHART, IMAGES, Helm, helm_of
from tests.cluster.shell import Shell, make_shell
from tests.cluster.site import NAME, SLOW, TRAINING, Site
from tests.support.cli import Said
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.waiting import wait_for

SYSTEM: Final = "finetune-system"
DEFINITION: Final = "finetunejobs.finetune-operator.dev"
OPERATOR: Final = f"system:serviceaccount:{SYSTEM}:finetune-operator"
EPOCHS: Final = 20
VALUES: Final[dict[str, Any]] = {**IMAGES, "resync": "1h", "log": {"format": "text"}}
"""A resync of its own would count as lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """What was said and seen on it."""

    site: Site
    shell: Shell
    said: dict[str, Said] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    """Every status that was met."""
    events: list[audit.Event] = field(default_factory=list)
    """The audit log from the operator's installation to the job's end."""

    def ask(self, name: str, *arguments: str, given: Any = None) -> None:
        self.said[name] = self.shell.kubectl(*arguments, given=given)
        assert self.said[name].code == 0, self.said[name]

    @property
    def status(self) -> dict[str, Any]:
        """The last one."""
        return self.seen[-1]

    @property
    def phases(self) -> list[str]:
        """One after the other."""
        named = [s["phase"] for s in self.seen if "phase" in s]
        return [p for i, p in enumerate(named) if i == 0 or p != named[i - 1]]

    def watch(self, *phases: str) -> None:
        """Note what the status says until it is in one of those phases."""

        def look() -> bool:
            status = self.site.status()
            if status and (not self.seen or status != self.seen[-1]):
                self.seen.append(status)
            assert status.get("phase") not in {"Failed", "Invalid", "Infeasible"}, status
            return status.get("phase") in phases

        wait_for(look, f"{NAME} is {' or '.join(phases)}", seconds=SLOW)


@pytest.fixture(scope="module")
def helm(with_images: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The administrator's."""
    return helm_of(with_images, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def road(with_images: Cluster, helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    """Gone once, from an empty cluster to the report."""
    kubectl, folder = with_images.plane.kubectl, tmp_path_factory.mktemp("road")
    # an empty cluster: helm takes over no definition that somebody else has installed
    kubectl.run("delete", "crd", DEFINITION, "--ignore-not-found")
    kubectl.make_namespace(SYSTEM, **RESTRICTED)
    before = len(with_images.plane.audit())
    with ExitStack() as stack:
        stack.callback(_uninstall, helm, with_images)
        helm.run("install", "finetune-operator", str(CHART), "-n", SYSTEM, "--wait", "--timeout", "5m", values=VALUES)
        namespace = stack.enter_context(new_namespace(kubectl))
        site = stack.enter_context(new_site(with_images, namespace, folder / "volume"))
        found = Road(site=site, shell=make_shell(folder / "shell", kubectl, namespace))
        _go(found)
        found.events.extend(with_images.plane.audit()[before:])
        yield found


def _go(road: Road) -> None:
    # the log is looked at every 15 s: once at least while it trains, on a machine that has nothing else to do
    manifest = road.site.manifest(training={**TRAINING, "epochs": str(EPOCHS)})
    road.ask("apply", "apply", "-f", "-", given=manifest)
    road.watch("AwaitingSelection")
    road.ask("options", "finetune", "options", NAME)
    road.ask("choices", "finetune", "options", NAME, "-o", "json")
    road.ask("select", "finetune", "select", NAME, lora_of(json.loads(road.said["choices"].out)))
    road.watch("Training", "Succeeded")
    road.ask("status", "finetune", "status", NAME)
    road.watch("Succeeded")
    road.ask("again", "apply", "-f", "-", given=manifest)
    road.ask("report", "finetune", "report", NAME, "-o", "report")
    road.ask("logs", "finetune", "logs", NAME)


def lora_of(status: dict[str, Any]) -> str:
    """The option that trains an adapter."""
    return str(next(o["id"] for o in status["options"] if o["method"] == "LoRA"))


def _uninstall(helm: Helm, cluster: Cluster) -> None:
    helm.run("uninstall", "finetune-operator", "-n", SYSTEM, "--wait", "--ignore-not-found")
    cluster.plane.kubectl.run("delete", "namespace", SYSTEM)


def test_options_are_in_status_and_in_the_command(road: Road) -> None:
    listed = next(s for s in road.seen if s.get("phase") == "AwaitingSelection")
    ids = [o["id"] for o in listed["options"]]
    assert len(ids) > 1
    assert [o["id"] for o in json.loads(road.said["choices"].out)["options"]] == ids
    assert all(i in road.said["options"].out for i in ids)
    assert sum(o.get("recommended", False) for o in listed["options"]) == 1


def test_what_was_selected_is_what_ran(road: Road) -> None:
    chosen = lora_of(json.loads(road.said["choices"].out))
    assert f"{chosen} is chosen" in road.said["select"].out
    assert road.status["plan"]["option"] == chosen
    assert [(a["number"], a["outcome"]) for a in road.status["attempts"]] == [(1, "Completed")]
    assert road.status["restarts"] == 0


def test_the_job_went_through_its_phases_in_order(road: Road) -> None:
    order = ["Pending", "Inspecting", "AwaitingSelection", "Planned", "Starting", "Training", "Succeeded"]
    assert road.phases == [p for p in order if p in road.phases]
    assert {"Inspecting", "AwaitingSelection", "Training", "Succeeded"} <= set(road.phases)


def test_progress_rises_while_it_trains(road: Road) -> None:
    told = [s["progress"] for s in road.seen if "progress" in s]
    steps = [p["step"] for p in told]
    assert steps == sorted(steps)
    assert min(steps) < max(steps) == EPOCHS * 64 // 8
    assert {p["steps"] for p in told} == {max(steps)}


def test_the_result_is_judged(road: Road) -> None:
    found = road.status["evaluation"]
    assert found["decision"] == "Keep"
    assert float(found["tuned"]["json-allowed"]) > float(found["baseline"]["json-allowed"])


def test_applying_it_again_changes_nothing(road: Road) -> None:
    assert road.said["again"].out.strip().endswith("unchanged")


def test_the_report_is_copied(road: Road) -> None:
    folder = road.shell.folder / "report"
    assert road.status["evaluation"]["decision"] in (folder / "finetune_report.md").read_text(encoding="utf-8")
    for name in ("evaluation_rows.jsonl", "finetune_report.md"):
        assert (folder / name).read_bytes() == (road.site.folder / "out" / name).read_bytes()
    copiers = ("pods", "-n", road.site.namespace, "-l", "app.kubernetes.io/name=finetune-report")
    wait_for(lambda: not road.site.kubectl.items(*copiers), "the pod that copied it to be gone")


def test_the_log_is_told_in_words(road: Road) -> None:
    assert "step" in road.said["logs"].out
    assert '"event"' not in road.said["logs"].out


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_the_adapter_answers_by_plain_transformers_and_peft(road: Road) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = road.site.folder / "out"
    loader: Any = AutoModelForCausalLM
    base = loader.from_pretrained(road.site.folder / "model")
    tokenizer: Any = AutoTokenizer.from_pretrained(out)
    rows = [json.loads(r) for r in (out / "evaluation_rows.jsonl").read_text(encoding="utf-8").splitlines()]
    before = [_answer(base, tokenizer, row["prompt"]) for row in rows]
    tuned = PeftModel.from_pretrained(base, out)
    after = [_answer(tuned, tokenizer, row["prompt"]) for row in rows]
    assert after == [row["tuned"]["output"] for row in rows]
    assert before != after
    assert {json.loads(a)["color"] for a in after} <= {"red", "blue"}


def _answer(model: Any, tokenizer: Any, prompt: str) -> str:
    messages = [{"role": "user", "content": prompt}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.generate(**inputs, max_new_tokens=64, do_sample=False)
    return str(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def test_nothing_of_others_is_on_the_users_object(road: Road) -> None:
    found = road.site.kubectl.read("finetunejob", NAME, "-n", road.site.namespace)
    meta = found["metadata"]
    assert set(meta.get("annotations", {})) <= {"kubectl.kubernetes.io/last-applied-configuration"}
    assert "labels" not in meta
    assert "finalizers" not in meta


def test_the_operator_never_restarted(road: Road) -> None:
    (pod,) = road.site.kubectl.items("pods", "-n", SYSTEM)
    (container,) = pod["status"]["containerStatuses"]
    assert (container["ready"], container["restartCount"]) == (True, 0)


class TestAudit:
    """The API server's own log of all that."""

    def test_each_object_is_made_once(self, road: Road) -> None:
        here = audit.within(road.events, road.site.namespace)
        ours = [e for e in here if e["user"]["username"] == OPERATOR]
        made = audit.created(ours, "jobs", "configmaps", "services")
        assert set(made.values()) == {1}
        assert sorted(kind for kind, _ in made) == ["configmaps"] * 3 + ["jobs"] * 2
        by_jobs = [e for e in here if e["user"]["username"] == "system:serviceaccount:kube-system:job-controller"]
        assert len(audit.created(by_jobs, "pods")) == 2

    def test_status_is_written_once_a_transition(self, road: Road) -> None:
        written = list(audit.statuses(self._operators(road), NAME))
        assert all(a != b for a, b in pairwise(written))
        states = [audit.told(b) for a, b in pairwise([{}, *written]) if audit.told(a) != audit.told(b)]
        assert all(states.count(s) == 1 for s in states)

    def test_nothing_is_refused(self, road: Road) -> None:
        assert [e["requestURI"] for e in self._operators(road) if e["responseStatus"].get("code") in {401, 403}] == []

    def test_everything_is_listed_at_the_start_alone(self, road: Road) -> None:
        # once for the store and once by the watch, which begins where its own list ends
        assert set(audit.lists(self._operators(road)).values()) <= {1, 2}

    def test_pods_of_jobs_ask_the_api_server_for_nothing(self, road: Road) -> None:
        accounts = f"system:serviceaccount:{road.site.namespace}:"
        assert [e for e in road.events if e["user"]["username"].startswith(accounts)] == []
        assert [e for e in road.events if e["user"]["username"] == "system:anonymous"] == []

    def _operators(self, road: Road) -> list[audit.Event]:
        found = [e for e in road.events if e["user"]["username"] == OPERATOR]
        assert found
        return found


def test_an_upgrade_keeps_jobs_and_an_uninstall_leaves_them(road: Road, helm: Helm, with_images: Cluster) -> None:
    kubectl = with_images.plane.kubectl
    definition = kubectl.read("crd", DEFINITION)["metadata"]
    helm.run(
        "upgrade", "finetune-operator", str(CHART), "-n", SYSTEM, "--wait", values={**VALUES, "log": {"level": "debug"}}
    )
    job = kubectl.read("finetunejob", NAME, "-n", road.site.namespace)
    assert job["status"]["phase"] == "Succeeded"
    helm.run("uninstall", "finetune-operator", "-n", SYSTEM, "--wait")
    left = kubectl.read("crd", DEFINITION)["metadata"]
    assert left["uid"] == definition["uid"]
    assert kubectl.read("finetunejob", NAME, "-n", road.site.namespace)["metadata"]["uid"] == job["metadata"]["uid"]
    assert kubectl.items("deployments", "-n", SYSTEM) == []
    helm.run("install", "finetune-operator", str(CHART), "-n", SYSTEM, "--wait", values=VALUES)
    again = kubectl.read("finetunejob", NAME, "-n", road.site.namespace)
    assert again["status"] == job["status"]
