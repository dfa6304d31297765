"""What a job is made of in a cluster: whole objects, within Pod Security's restricted profile."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
import yaml

from finetune_operator.api.resource import FineTuneJob, Identity
from finetune_operator.api.sources import AdapterSource, HubSource
from finetune_operator.api.spec import Accelerator, Model
from finetune_operator.api.surroundings import refused_in_cluster
from finetune_operator.planner.cluster.nodes import UNTOLD_DISK
from finetune_operator.planner.plan import Plan
from finetune_operator.renderers.bundle import render_bundle
from finetune_operator.renderers.configmap import render_run
from finetune_operator.renderers.inspection import render_inspection
from finetune_operator.renderers.inspection_request import inspection_request
from finetune_operator.renderers.job import render_attempt
from finetune_operator.renderers.names import attempt_name, inspection_name, run_name
from finetune_operator.renderers.placement import Placement, placement_of, sure_to_take
from finetune_operator.renderers.places import in_pod
from finetune_operator.renderers.service import render_service
from finetune_operator.renderers.settings import RenderSettings
from finetune_operator.units import GIB, Bytes
from finetune_trainer.job_config import COMMAND, JobConfig
from tests.support.golden import check_golden
from tests.support.plans import TINY_ARCHITECTURE, make_class, make_device, make_job, make_memory, make_plan
from tests.support.pod_security import containers, violations
from tests.unit.lifecycle.worlds import make_cluster_job

IDENTITY: Final = Identity(
    name="tickets", namespace="support", uid="3f9a1c2b-0000-4000-8000-000000000000", generation=1
)
SETTINGS: Final = RenderSettings(trainer_image="registry.example/finetune-trainer:1")
MODEL: Final = make_plan().total_parameters


def on_hub() -> FineTuneJob:
    """A gated model, rows in a ConfigMap, a taint, a queue of one's own."""
    token = {"name": "hub", "key": "token"}
    return make_job(
        model={"source": {"hub": {"repo": "me/tiny", "revision": "a" * 40, "tokenSecretRef": token}}},
        dataset={
            "train": {"source": {"configMap": {"name": "rows", "key": "train.jsonl"}}},
            "evaluation": {"source": {"configMap": {"name": "rows", "key": "check.jsonl"}}},
        },
        hardware={"nodeSelector": {"pool": "gpu"}, "tolerations": [{"key": "team", "operator": "Exists"}]},
        podTemplate={"priorityClassName": "batch", "imagePullSecrets": [{"name": "registry"}]},
        output={"volume": {"claimName": "adapters", "path": "tickets"}},
    )


def on_volumes() -> FineTuneJob:
    """Model and rows where the result goes, and an image."""
    return make_job(
        model={"source": {"image": {"reference": "registry.example/smollm2@sha256:0", "path": "model"}}},
        dataset={
            "train": {"source": {"volume": {"claimName": "adapters", "path": "rows/train.jsonl"}}},
            "evaluation": {"fraction": "0.1"},
        },
        output={"volume": {"claimName": "adapters", "path": "."}},
    )


def from_hub_on() -> FineTuneJob:
    """An adapter on a volume goes on, with rows of two data sets, one of them private."""
    rows = {"repo": "me/rows", "path": "data/train-*.parquet"}
    private = {"repo": "me/check", "path": "check.jsonl", "tokenSecretRef": {"name": "hub", "key": "token"}}
    return make_job(
        model={
            "source": {"hub": {"repo": "me/tiny"}},
            "adapter": {"volume": {"claimName": "earlier", "path": "sft"}},
        },
        method="LoRA",
        objective="DPO",
        dataset={"train": {"source": {"hub": rows}}, "evaluation": {"source": {"hub": private}}},
        output={"volume": {"claimName": "adapters", "path": "dpo"}},
    )


def on_two_nodes() -> Plan:
    device = make_device(product="NVIDIA-A100-SXM4-80GB")
    found = make_class(device=device, devices_per_node=8, nodes=4, resource="nvidia.com/gpu", cores=64)
    return make_plan(
        id="lora-2x8x80g", node_class=found, nodes=2, devices_per_node=8, memory=make_memory(host=32 << 30)
    )


def on_cpu() -> Plan:
    device = make_device(accelerator=Accelerator.CPU, product="CPU")
    return make_plan(id="lora-cpu", node_class=make_class(device=device, cores=8))


CASES: Final[list[tuple[str, Callable[[], FineTuneJob], Callable[[], Plan]]]] = [
    ("two-nodes", on_hub, on_two_nodes),
    ("cpu", on_volumes, on_cpu),
]


def rendered(job: FineTuneJob, plan: Plan) -> list[dict[str, Any]]:
    """Everything that an attempt is made of, and the inspection before it."""
    bundle = render_bundle(job, plan, TINY_ARCHITECTURE, in_pod(job).places)
    run = render_run(job, IDENTITY, bundle, plan)
    placement = placement_of(plan, disk=sure_to_take(job, plan))
    attempt = render_attempt(job, IDENTITY, run["metadata"]["name"], placement, 1, SETTINGS)
    service = render_service(IDENTITY, placement, 1)
    return [render_inspection(job, IDENTITY, SETTINGS), run, *([service] if service else []), attempt]


def pods(job: FineTuneJob, plan: Plan) -> list[dict[str, Any]]:
    return [o["spec"]["template"]["spec"] for o in rendered(job, plan) if o["kind"] == "Job"]


@pytest.mark.parametrize(("name", "job", "plan"), CASES)
def test_every_object_is_the_reviewed_one(name: str, job: Callable[[], FineTuneJob], plan: Callable[[], Plan]) -> None:
    check_golden(f"cluster/{name}.yaml", yaml.safe_dump_all(rendered(job(), plan()), sort_keys=False, width=120))


@pytest.mark.parametrize(("name", "job", "plan"), CASES)
def test_pods_keep_every_rule_of_the_restricted_standard(
    name: str, job: Callable[[], FineTuneJob], plan: Callable[[], Plan]
) -> None:
    del name
    for pod in pods(job(), plan()):
        assert violations(pod) == []
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert all(c["securityContext"]["readOnlyRootFilesystem"] for c in containers(pod))
        assert all(c["resources"]["requests"] and c["resources"]["limits"] for c in containers(pod))


def test_the_hubs_token_is_in_the_container_that_fetches_and_in_no_other() -> None:
    for pod in pods(on_hub(), on_two_nodes()):
        with_token = [c["name"] for c in containers(pod) if any(e["name"] == "HF_TOKEN" for e in c["env"])]
        assert with_token == ["fetch"]


def test_a_request_to_stop_ends_a_program_that_has_no_handler_for_it_yet() -> None:
    assert all(pod["shareProcessNamespace"] for pod in pods(on_hub(), on_two_nodes()))


def test_taints_of_devices_are_tolerated_by_pods_that_use_them_and_by_no_others() -> None:
    inspection, training = pods(on_hub(), on_two_nodes())
    asked = {"key": "team", "operator": "Exists"}
    assert inspection["tolerations"] == [asked]
    assert training["tolerations"] == [asked, {"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert all("tolerations" not in pod for pod in pods(on_volumes(), on_cpu()))


def test_shared_memory_is_bounded_and_counted() -> None:
    (_, pod) = pods(on_volumes(), on_cpu())
    (shm,) = [v["emptyDir"]["sizeLimit"] for v in pod["volumes"] if v["name"] == "shm"]
    placement = placement_of(on_cpu())
    asked = int(pod["containers"][0]["resources"]["requests"]["memory"])
    assert asked == placement.host_memory
    # the estimate with headroom, and what is kept in /dev/shm beside it
    assert asked == int(on_cpu().memory.device_total * 1.25) + int(shm)


@pytest.mark.parametrize(
    ("job", "free", "asked"),
    [
        # one GiB for caches; the tiny model's 16-bit weights; 4 GiB of rows
        pytest.param(on_volumes, 500 * GIB, GIB, id="nothing-is-fetched"),
        pytest.param(on_hub, 500 * GIB, GIB + 2 * MODEL, id="a-model"),
        pytest.param(from_hub_on, 500 * GIB, 5 * GIB + 2 * MODEL, id="a-model-and-rows"),
        pytest.param(from_hub_on, 2 * GIB, 2 * GIB, id="no-more-than-the-node-had"),
        pytest.param(from_hub_on, UNTOLD_DISK, None, id="nodes-don-t-tell-it"),
    ],
)
def test_training_pods_ask_for_the_disk_that_their_volumes_are_sure_to_take(
    job: Callable[[], FineTuneJob], free: int, asked: int | None
) -> None:
    plan = on_cpu()
    there = replace(plan, node_class=replace(plan.node_class, disk=Bytes(free)))
    _, pod = pods(job(), there)
    (container,) = pod["containers"]
    found = container["resources"]["requests"].get("ephemeral-storage")
    assert found == (None if asked is None else str(asked))
    # the volumes' limits hold it, and are no less
    assert "ephemeral-storage" not in container["resources"]["limits"]
    (limit,) = [v["emptyDir"]["sizeLimit"] for v in pod["volumes"] if v["name"] == "work"]
    assert int(limit) > int(found or 0)


def test_headroom_is_taken_as_far_as_the_node_has_it() -> None:
    plan = on_cpu()
    need = plan.memory.device_total
    full = replace(plan, available=Bytes(int(need * 1.1)), margin=0.0)
    assert need < placement_of(full).host_memory <= int(need * 1.1)


def test_only_the_outputs_claim_can_be_written_to_and_only_by_training() -> None:
    inspection, training = pods(on_volumes(), on_cpu())
    claims = [
        [m for m in p["containers"][0]["volumeMounts"] if m["name"].startswith("claim")] for p in (inspection, training)
    ]
    assert [[m["readOnly"] for m in found] for found in claims] == [[True], [False]]


def test_the_trainer_is_told_the_same_places_that_are_mounted() -> None:
    job, plan = on_volumes(), on_cpu()
    run, attempt = rendered(job, plan)[1], rendered(job, plan)[-1]
    config = JobConfig.model_validate_json(run["data"]["job.json"])
    mounts = [m["mountPath"] for m in attempt["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]]
    rows = [s.path for s in (*config.data.train, *([config.data.evaluation] if config.data.evaluation else ()))]
    for path in (config.model.path, config.output, *rows):
        assert any(path == mount or path.startswith(f"{mount}/") for mount in mounts), path


def test_the_placement_comes_back_from_the_config_map() -> None:
    run = rendered(on_hub(), on_two_nodes())[1]
    assert Placement.model_validate_json(run["data"]["placement.json"]) == placement_of(
        on_two_nodes(), disk=sure_to_take(on_hub(), on_two_nodes())
    )
    assert run["immutable"] is True


@pytest.mark.parametrize(("name", "job", "plan"), CASES)
def test_what_repeats_a_run_of_a_cluster_is_a_job_for_a_cluster(
    name: str, job: Callable[[], FineTuneJob], plan: Callable[[], Plan]
) -> None:
    del name
    before = job()
    text = rendered(before, plan())[1]["data"]["finetune_config.yaml"]
    assert "/finetune/" not in text
    assert "kubectl apply" in text
    repeated = FineTuneJob.model_validate_json(json.dumps(yaml.safe_load(text)))
    assert refused_in_cluster(repeated.spec) == ()
    spec, was = repeated.spec, before.spec
    assert (spec.model.source, spec.output, spec.pod_template) == (was.model.source, was.output, was.pod_template)
    assert spec.dataset == was.dataset
    assert (spec.hardware.node_selector, spec.hardware.tolerations) == (
        was.hardware.node_selector,
        was.hardware.tolerations,
    )
    assert spec.plan.option == plan().id


def test_the_report_s_command_is_one_that_works_for_who_reads_it() -> None:
    job = on_hub()
    there = job.model_copy(update={"metadata": job.metadata.model_copy(update={"namespace": "support"})})
    for pod in pods(there, on_two_nodes()):
        told = {e["name"]: e.get("value") for e in pod["containers"][0]["env"]}
        assert told[COMMAND] == "kubectl apply --namespace support -f finetune_config.yaml"


def test_names_are_labels_of_at_most_63_characters_with_the_pods_index_too() -> None:
    long = Identity(name="a" * 40, namespace="n", uid=IDENTITY.uid, generation=1)
    job = on_hub()
    names = [
        f"{attempt_name(long, 99)}-4095",
        inspection_name(long, job),
        run_name(long, "sha256:" + "0" * 64),
    ]
    assert max(map(len, names)) <= 63


def test_other_rows_are_inspected_under_another_name() -> None:
    same = [inspection_name(IDENTITY, on_hub()) for _ in range(2)]
    assert same[0] == same[1] != inspection_name(IDENTITY, on_volumes())


def test_what_is_on_the_hub_is_fetched_one_by_one_each_with_its_own_token() -> None:
    for pod in pods(from_hub_on(), on_cpu()):
        fetches = {c["name"]: c for c in pod["initContainers"]}
        assert list(fetches) == ["fetch", "fetch-rows-0", "fetch-rows-1"]
        assert fetches["fetch-rows-0"]["command"][3:] == [
            "me/rows", "main", "/finetune/work/rows-0", "--rows", "data/train-*.parquet",
        ]  # fmt: skip
        tokens = [name for name, c in fetches.items() if any(e["name"] == "HF_TOKEN" for e in c["env"])]
        assert tokens == ["fetch-rows-1"]
        # none of them sees the adapter's volume
        assert all(m["mountPath"] != "/finetune/claim-0" for c in fetches.values() for m in c["volumeMounts"])


def test_an_adapter_to_go_on_from_is_mounted_and_held_against_the_job_in_both_pods() -> None:
    job, plan = from_hub_on(), on_cpu()
    inspection, run, attempt = rendered(job, plan)
    config = JobConfig.model_validate_json(run["data"]["job.json"])
    assert config.parent is not None
    assert (config.parent.path, config.parent.description) == ("/finetune/claim-0/sft", "sft on earlier")
    for found in (inspection, attempt):
        spec = found["spec"]["template"]["spec"]
        mounts = {m["name"]: m for m in spec["containers"][0]["volumeMounts"]}
        assert mounts["claim-0"] == {"name": "claim-0", "mountPath": "/finetune/claim-0", "readOnly": True}
        assert {"name": "claim-0", "persistentVolumeClaim": {"claimName": "earlier"}} in spec["volumes"]
    asked = json.loads(inspection_request(job))["parent"]
    assert asked["parent"]["path"] == "/finetune/claim-0/sft"
    assert (asked["method"], asked["objective"], asked["adapter"]["rank"]) == ("LoRA", "DPO", 16)


def test_an_adapter_of_the_hub_is_fetched() -> None:
    job = from_hub_on()
    hub = AdapterSource(hub=HubSource(repo="me/sft"))
    job = job.model_copy(
        update={"spec": job.spec.model_copy(update={"model": Model(source=job.spec.model.source, adapter=hub)})}
    )
    (fetch,) = [c for c in pods(job, on_cpu())[-1]["initContainers"] if c["name"] == "fetch-adapter"]
    assert fetch["command"][3:] == ["me/sft", "main", "/finetune/work/adapter", "--adapter"]
    assert in_pod(job).places.adapter == "/finetune/work/adapter"


@pytest.mark.parametrize(
    ("source", "model", "revision", "where"),
    [
        ({"hub": {"repo": "me/base"}}, "me/base", "c0ffee", ""),
        ({"volume": {"claimName": "models", "path": "./a//b"}}, "a/b", None, ', "a/b" on that of models'),
        ({"image": {"reference": "r.example/m:1", "path": "."}}, ".", None, ', "." in image r.example/m:1'),
    ],
)
def test_a_report_names_what_is_outside_of_the_pod(
    source: dict[str, Any], model: str, revision: str | None, where: str
) -> None:
    shown = in_pod(make_cluster_job(model={"source": source}), "c0ffee").places.shown
    assert shown is not None
    assert (shown.model, shown.revision, shown.output) == (model, revision, "tickets")
    assert shown.where == f'"tickets" is on the volume of claim adapters{where}'
