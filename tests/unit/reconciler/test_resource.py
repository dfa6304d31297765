"""Objects of the API server as our own types."""

from typing import Any

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.lifecycle.status import chosen
from finetune_operator.reconciler.kept import Kept
from finetune_operator.reconciler.resource import read_identity, read_resource, read_status
from tests.unit.lifecycle.pods import BEGAN


def make_object(**spec: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "model": {"source": {"volume": {"claimName": "models", "path": "smollm2"}}},
        "dataset": {
            "train": {"source": {"configMap": {"name": "rows", "key": "train.jsonl"}}},
            "evaluation": {"fraction": "0.1"},
        },
        "output": {"volume": {"claimName": "adapters", "path": "a"}},
    }
    return {
        "apiVersion": "finetune-operator.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "a", "namespace": "ns", "uid": "u", "generation": 3, "managedFields": [{"manager": "x"}]},
        "spec": fields | spec,
    }


def test_a_job_is_read_whatever_else_its_metadata_holds() -> None:
    job, problem = read_resource(make_object())
    assert problem == ""
    assert job is not None
    assert (job.metadata.name, job.metadata.namespace) == ("a", "ns")
    assert read_identity(make_object()).generation == 3


def test_what_was_written_past_validation_is_told_in_sentences() -> None:
    job, problem = read_resource(make_object(method="Magic", training={"epochs": 3}))
    assert job is None
    assert "spec.method" in problem
    assert "spec.training.epochs" in problem
    assert "job:0" not in problem


def test_what_only_a_laptop_has_is_told() -> None:
    job, problem = read_resource(make_object(output={"path": "out"}))
    assert job is None
    assert problem == "spec.output.path: is written by finetune run on your machine alone; in a cluster write volume"


def test_a_job_without_a_spec_is_told() -> None:
    job, problem = read_resource({**make_object(), "spec": None})
    assert job is None
    assert "spec" in problem


def test_a_status_comes_back_as_it_was_written() -> None:
    status = chosen("lora-cpu", "sha256:0", BEGAN)
    written = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert read_status({"status": written}) == status


def test_a_status_of_a_newer_version_keeps_what_we_know() -> None:
    written = chosen("lora-cpu", "sha256:0", BEGAN).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert read_status({"status": {**written, "news": 1}}) == chosen("lora-cpu", "sha256:0", BEGAN)


def test_a_status_that_isn_t_ours_is_begun_anew() -> None:
    assert read_status({"status": {"phase": 3}}) == FineTuneJobStatus()
    assert read_status({}) == FineTuneJobStatus()


def test_a_job_is_read_again_when_its_spec_has_changed_and_only_then() -> None:
    cached = Kept(read_resource, "generation", most=2)
    first, problem = cached(make_object())
    assert (first, problem) == read_resource(make_object())
    assert cached(make_object())[0] is first
    edited = make_object(method="LoRA")
    edited["metadata"]["generation"] = 4
    again, _ = cached(edited)
    assert again is not None
    assert again.spec.method == "LoRA"
    other = make_object(method="Full")
    other["metadata"]["uid"] = "v"
    read, _ = cached(other)
    assert read is not None
    assert read.spec.method == "Full"


def test_an_object_without_a_generation_is_read_each_time() -> None:
    cached = Kept(read_resource, "generation")
    for method in ("LoRA", "Full"):
        found = make_object(method=method)
        del found["metadata"]["generation"]
        job, _ = cached(found)
        assert job is not None
        assert job.spec.method == method


def test_jobs_that_nobody_looked_at_for_longest_are_forgotten() -> None:
    cached = Kept(read_resource, "generation", most=1)
    first, _ = cached(make_object())
    other = make_object()
    other["metadata"]["uid"] = "v"
    cached(other)
    assert cached(make_object())[0] is not first
