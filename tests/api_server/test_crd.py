"""What the API server says of jobs: taken, refused with a sentence, left alone."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from finetune_operator.api.crd import CHANGEABLE, CRD_NAME, render_crd
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.kube import connection
from finetune_operator.kube.errors import InvalidError
from finetune_operator.kube.kinds import FINE_TUNE_JOBS
from finetune_operator.kube.rest import RestClient
from tests.support.bad_jobs import BAD_JOBS, GOOD_CHANGES, changed, make_cluster_job
from tests.support.breaches import breaches
from tests.support.kubernetes.kubectl import Kubectl, KubectlError
from tests.support.kubernetes.waiting import wait_for

CRDS: Final = Path(__file__).parents[2] / "crds"
STATUSES: Final = re.findall(
    r"^```yaml\n(status:\n.*?)^```$",
    (CRDS.parent / "docs" / "job.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
"""Those that the documentation shows."""

SPEC: Final = render_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
PLAN: Final = {"option": "lora-1x24g", "hash": "sha256:0"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def definition(kubectl: Kubectl) -> None:
    kubectl.run("apply", "--server-side", "-f", str(CRDS))
    kubectl.run("wait", "--for=condition=Established", f"crd/{CRD_NAME}", "--timeout=30s")
    wait_for(lambda: "finetunejobs" in kubectl.run("api-resources", "-o", "name"), "finetunejobs known", seconds=30)


class Jobs:
    """Jobs of one namespace."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        self._namespace = namespace

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        return self._kubectl.run("-n", self._namespace, *arguments, stdin=stdin)

    def apply(self, job: dict[str, Any], *flags: str) -> dict[str, Any]:
        """The job as it is after it was applied, as a person does."""
        found: dict[str, Any] = json.loads(self.run("apply", "-o", "json", *flags, "-f", "-", stdin=json.dumps(job)))
        return found

    def create_dry(self, job: dict[str, Any]) -> str:
        return self.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(job))

    def write_status(self, job: dict[str, Any], status: dict[str, Any]) -> None:
        self._kubectl.patch_status("ftj", job["metadata"]["name"], status, namespace=self._namespace)

    def plan(self, job: dict[str, Any]) -> None:
        """Put the chosen option into status, as the operator does."""
        self.write_status(job, {"plan": PLAN})


@pytest.fixture
def jobs(kubectl: Kubectl, namespace: str) -> Jobs:
    return Jobs(kubectl, namespace)


@pytest.fixture
def planned(jobs: Jobs) -> dict[str, Any]:
    """A job with a chosen option in its spec and in its status."""
    job = changed(make_cluster_job(), {"spec.plan.option": "recommended"})
    jobs.apply(job)
    jobs.plan(job)
    return job


def test_every_bad_job_is_refused_with_its_sentence(jobs: Jobs) -> None:
    """All in one test: a namespace for each would take longer than all of them."""
    wrong = []
    for bad in BAD_JOBS:
        with pytest.raises(KubectlError) as caught:
            jobs.create_dry(changed(make_cluster_job(), bad.changes))
        # between place and sentence stands what was found there
        if not all(part in str(caught.value) for part in bad.told.partition(": ")):
            wrong.append((bad.id, bad.told, str(caught.value)))
    assert wrong == []


@pytest.mark.anyio
async def test_every_bound_of_the_schema_is_held(kubectl: Kubectl, namespace: str) -> None:
    client = RestClient((await connection.load(kubectl.kubeconfig, None)).configuration)
    good = changed(make_cluster_job(), {"metadata.namespace": namespace})
    wrong = []
    for breach in breaches(SPEC, good, ("spec",)):
        try:
            await client.create(FINE_TUNE_JOBS, breach.found)
        except InvalidError as e:
            if breach.told not in str(e):
                wrong.append((breach.keyword, breach.told, str(e)))
        else:
            wrong.append((breach.keyword, breach.told, "was taken"))
            break
    await client.close()
    assert wrong == []


def test_every_good_job_is_taken(jobs: Jobs) -> None:
    for changes in GOOD_CHANGES.values():
        assert "created" in jobs.create_dry(changed(make_cluster_job(), changes))


def test_an_unknown_field_is_refused_with_its_name(jobs: Jobs) -> None:
    with pytest.raises(KubectlError, match=r'unknown field "spec.learningRate"'):
        jobs.create_dry(changed(make_cluster_job(), {"spec.learningRate": "2e-4"}))


def test_defaults_are_written_out_and_an_unseen_job_is_not_current(jobs: Jobs) -> None:
    job = jobs.apply(make_cluster_job())
    assert job["spec"]["training"]["epochs"] == "3"
    assert job["spec"]["training"]["checkpoint"] == {"everySteps": 200, "keep": 2}
    assert job["spec"]["adapter"]["targetModules"] == ["all-linear"]
    assert job["spec"]["restarts"] == {"limit": 3}
    assert job["status"]["observedGeneration"] == -1


@pytest.mark.parametrize("flags", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_the_same_manifest_again_changes_nothing(jobs: Jobs, flags: tuple[str, ...]) -> None:
    job = changed(make_cluster_job(), GOOD_CHANGES["several"])
    jobs.apply(job, *flags)
    jobs.plan(job)
    first = jobs.apply(job, *flags)
    assert jobs.run("diff", *flags, "-f", "-", stdin=json.dumps(job)) == ""
    assert jobs.apply(job, *flags)["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_until_a_plan_is_chosen_everything_may_change(jobs: Jobs) -> None:
    jobs.apply(make_cluster_job())
    job = changed(
        make_cluster_job(), {"spec.model.source": {"hub": {"repo": "me/tiny"}}, "spec.plan.option": "lora-cpu"}
    )
    assert jobs.apply(job)["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.model.source.volume.path": "other"},
        {"spec.dataset.train.source": {"configMap": {"name": "a", "key": "a"}}},
        {"spec.dataset.contract.output.json.schema": {"type": "object"}},
        {"spec.method": "LoRA"},
        {"spec.training.epochs": "4"},
        {"spec.hardware.nodes": 2},
        {"spec.output.volume.path": "other"},
        {"spec.podTemplate": {"priorityClassName": "high"}},
    ],
    ids=lambda c: next(iter(c)),
)
def test_once_a_plan_is_chosen_the_spec_stays(jobs: Jobs, planned: dict[str, Any], changes: dict[str, Any]) -> None:
    with pytest.raises(KubectlError, match=r"spec: .*can't change once a plan is chosen, except for suspend"):
        jobs.apply(changed(planned, changes))


def test_once_a_plan_is_chosen_some_of_it_may_still_change(jobs: Jobs, planned: dict[str, Any]) -> None:
    changes = {"spec.suspend": True, "spec.restarts.limit": 5, "spec.ttlSecondsAfterFinished": 60}
    assert {place.split(".")[1] for place in changes} == set(CHANGEABLE)
    assert jobs.apply(changed(planned, changes))["spec"]["suspend"] is True


def test_a_json_schema_is_kept_as_it_is_and_stays_too(jobs: Jobs) -> None:
    schema = {"type": "object", "properties": {"priority": {"enum": ["high", 1, None]}}}
    job = changed(make_cluster_job(), {"spec.dataset.contract.output.json.schema": schema})
    assert jobs.apply(job)["spec"]["dataset"]["contract"]["output"]["json"]["schema"] == schema
    jobs.plan(job)
    with pytest.raises(KubectlError, match="can't change once a plan is chosen"):
        jobs.apply(changed(job, {"spec.dataset.contract.output.json.schema.properties.priority.enum": ["low"]}))


def test_the_choice_may_go_and_come_but_not_become_another(jobs: Jobs, planned: dict[str, Any]) -> None:
    with pytest.raises(KubectlError, match="is another option than the chosen one"):
        jobs.apply(changed(planned, {"spec.plan.option": "qlora-1x24g"}))
    jobs.apply(changed(planned, {"spec.plan": None}))
    with pytest.raises(KubectlError, match="is another option than the chosen one"):
        jobs.apply(changed(planned, {"spec.plan.option": "qlora-1x24g"}))
    assert jobs.apply(changed(planned, {"spec.plan.option": PLAN["option"]}))["spec"]["plan"] == {
        "option": PLAN["option"]
    }


def test_status_is_apart_from_the_spec(jobs: Jobs, planned: dict[str, Any]) -> None:
    job = {**planned, "status": {"plan": {"option": "other", "hash": "sha256:1"}}}
    assert jobs.apply(job)["status"]["plan"] == PLAN


@pytest.mark.parametrize("example", STATUSES)
def test_a_whole_status_is_kept(jobs: Jobs, example: str) -> None:
    status = FineTuneJobStatus.model_validate_json(json.dumps(yaml.safe_load(example)["status"]))
    written = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    jobs.apply(make_cluster_job())
    jobs.write_status(make_cluster_job(), written)
    assert json.loads(jobs.run("get", "ftj", "tickets", "-o", "json"))["status"] == written


def test_explain_teaches(jobs: Jobs) -> None:
    said = jobs.run("explain", "ftj.spec.training", "--recursive=false")
    assert "How often every row is learnt. Default: 3." in said
    assert "Cosine" in said


def test_a_list_has_the_columns_that_people_look_for(jobs: Jobs, planned: dict[str, Any]) -> None:
    heading, line = jobs.run("get", "ftj").splitlines()
    assert heading.split() == ["NAME", "PHASE", "PLAN", "STEP", "OF", "LOSS", "ETA", "VERDICT", "AGE"]
    assert line.split()[0] == planned["metadata"]["name"]
    assert PLAN["option"] in line
    assert planned["metadata"]["name"] in jobs.run("get", "finetune", "-o", "name")
