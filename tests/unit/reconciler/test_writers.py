"""Pods that may still write to an output."""

from typing import Any

from finetune_operator.reconciler.writers import Writers
from finetune_operator.renderers.names import OUTPUT_LABEL, labels_of
from tests.unit.lifecycle.worlds import IDENTITY


def make_pod(name: str, phase: str = "Running", component: str = "trainer", **labels: str) -> dict[str, Any]:
    found = labels_of(IDENTITY, component, **labels)
    return {
        "metadata": {"name": name, "namespace": "support", "uid": f"uid-{name}", "labels": found},
        "status": {"phase": phase},
    }


def writing(*pods: dict[str, Any], output: str = "o1", job: str = "other", namespace: str = "support") -> list[str]:
    writers = Writers()
    for pod in pods:
        writers.add_pod(pod)
    return list(writers.writing(namespace, job, output))


def test_a_pod_writes_to_its_output_whatever_job_it_is_of() -> None:
    pod = make_pod("a", output="o1")
    assert pod["metadata"]["labels"][OUTPUT_LABEL] == "o1"
    assert writing(pod) == ["pod a"]
    assert writing(pod, output="o2", job=IDENTITY.name) == []
    assert writing(pod, namespace="elsewhere") == []


def test_a_pod_that_doesn_t_say_where_it_writes_may_write_to_its_job_s_output() -> None:
    assert writing(make_pod("a"), job=IDENTITY.name) == ["pod a"]
    assert writing(make_pod("a")) == []


def test_what_has_ended_and_what_trains_nothing_doesn_t_write() -> None:
    ended = [make_pod(phase, phase, output="o1") for phase in ("Succeeded", "Failed")]
    stranger = make_pod("c", output="o1")
    del stranger["metadata"]["labels"]["app.kubernetes.io/managed-by"]
    assert writing(*ended, make_pod("b", component="inspection", output="o1"), stranger) == []


def test_a_pod_that_is_going_writes_until_it_is_gone() -> None:
    writers = Writers()
    pod = make_pod("a", output="o1")
    writers.add_pod(pod)
    pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:00:00Z"
    writers.add_pod(pod)
    assert list(writers.writing("support", "other", "o1")) == ["pod a"]
    writers.remove_pod(pod)
    writers.remove_pod(pod)
    assert list(writers.writing("support", "other", "o1")) == []


def test_a_job_writes_before_its_pods_are_there_and_until_it_is_over() -> None:
    writers = Writers()
    job = make_pod("a-1", output="o1")
    job["status"] = {}
    writers.add_job(job)
    writers.add_pod(make_pod("a-1-0", output="o1"))
    assert list(writers.writing("support", "other", "o1")) == ["pod a-1-0", "Job a-1"]
    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    writers.add_job(job)
    assert list(writers.writing("support", "other", "o1")) == ["pod a-1-0"]
