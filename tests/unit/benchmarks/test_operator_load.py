"""What the load's figures are made of."""

from pathlib import Path
from typing import Any

import yaml

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.reconciler.resource import read_resource
from finetune_trainer.events import InspectionFacts, ResultEvent, parse_event
from load_cluster import make_load, write_stages
from operator_load import Times, is_write, percentile, plain, rate


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (50.0, 99.0, 100.0)
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.99) == 0.0


def test_a_rate_counts_from_the_first_that_was_applied() -> None:
    times = Times(applied={"a": 10.0, "b": 11.0}, started={"b": 14.0, "a": 12.0, "warm": 1.0})
    assert times.since_applied(times.started) == [2.0, 3.0]
    assert rate(times, times.started) == 0.5


def test_writes_of_the_lease_are_no_job_s() -> None:
    requests = ("create jobs", "patch finetunejobs/status", "update leases", "get pods/log", "list nodes")
    assert [r for r in requests if is_write(r)] == ["create jobs", "patch finetunejobs/status"]


def test_a_raw_client_s_job_has_nothing_that_the_server_chose() -> None:
    labels = {"app": "a", "batch.kubernetes.io/controller-uid": "u", "controller-uid": "u", "job-name": "j"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": []}}
    job = {"kind": "Job", "metadata": {}, "spec": {"selector": {}, "completions": 1, "template": template}}
    assert plain(job)["spec"] == {
        "completions": 1,
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}},
    }


def test_the_load_is_a_job_that_a_cluster_takes() -> None:
    job, problem = read_resource(make_load("job-1"))
    assert (problem, type(job)) == ("", FineTuneJob)


def test_pods_say_what_an_inspection_and_a_training_say(tmp_path: Path) -> None:
    stages = yaml.safe_load_all(write_stages(tmp_path / "stages.yaml").read_text(encoding="utf-8"))
    said: list[Any] = []
    for stage in stages:
        lines = [li for li in stage["spec"]["next"].get("statusTemplate", "").splitlines() if "message: " in li]
        said += [parse_event(yaml.safe_load(line.strip())["message"]) for line in lines if "finetune" in line]
    assert [type(event) for event in said] == [InspectionFacts, ResultEvent]
