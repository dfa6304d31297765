"""What only a cluster can do, and what only the machine of `finetune run` can."""

from typing import Any

import pytest

from finetune_operator.api.base import format_place
from finetune_operator.api.surroundings import refused_here, refused_in_cluster
from tests.support.plans import make_job

VOLUME = {"volume": {"claimName": "data", "path": "a.jsonl"}}
CONFIG_MAP = {"configMap": {"name": "tickets", "key": "a.jsonl"}}
IMAGE = {"image": {"reference": "registry.example/a:1", "path": "a.jsonl"}}
IN_CLUSTER: dict[str, Any] = {
    "model": {"source": {"hub": {"repo": "me/tiny", "tokenSecretRef": {"name": "hub", "key": "token"}}}},
    "dataset": {"train": {"sources": [CONFIG_MAP, IMAGE]}, "evaluation": {"source": VOLUME}},
    "output": VOLUME,
    "hardware": {"nodeSelector": {"pool": "a"}, "tolerations": [{"operator": "Exists"}]},
    "restarts": {"limit": 1},
    "suspend": True,
    "ttlSecondsAfterFinished": 0,
    "podTemplate": {"priorityClassName": "low"},
}


def test_a_cluster_takes_what_is_in_it() -> None:
    assert refused_in_cluster(make_job(**IN_CLUSTER).spec) == ()


def test_this_machine_takes_what_is_on_it() -> None:
    assert refused_here(make_job().spec) == ()
    assert refused_here(make_job(model={"source": {"hub": {"repo": "me/tiny"}}}).spec) == ()


@pytest.mark.parametrize("source", [{"path": "model"}, {"gguf": "a.gguf"}])
def test_a_cluster_refuses_each_path_with_its_place_and_what_to_write(source: dict[str, str]) -> None:
    dataset = {"train": {"sources": [CONFIG_MAP, {"path": "b"}]}, "evaluation": {"source": {"path": "c"}}}
    told = refused_in_cluster(make_job(model={"source": source}, dataset=dataset).spec)
    alone = "by finetune run on your machine alone; in a cluster write"
    assert [f"{format_place(f.at)} {f.sentence}" for f in told] == [
        f"model.source.{next(iter(source))} is read {alone} hub, volume or image",
        f"dataset.train.sources[1].path is read {alone} hub, volume, configMap or image",
        f"dataset.evaluation.source.path is read {alone} hub, volume, configMap or image",
        f"output.path is written {alone} volume",
    ]


def test_a_cluster_refuses_an_objective_that_nothing_trains() -> None:
    (told,) = refused_in_cluster(make_job(**IN_CLUSTER, objective="GRPO").spec)
    assert format_place(told.at) == "objective"
    assert told.sentence == (
        "GRPO can be planned, and isn't trained in this version; write one of SFT, DPO, ORPO, KTO, Reward, or look at "
        "finetune plan"
    )


def test_an_adapter_to_go_on_from_is_where_the_job_runs() -> None:
    here = make_job(method="LoRA", model={"source": {"path": "m"}, "adapter": {"path": "sft/out"}}).spec
    assert refused_here(here) == ()
    told = [f"{format_place(f.at)} {f.sentence}" for f in refused_in_cluster(here)]
    assert (
        "model.adapter.path is read by finetune run on your machine alone; in a cluster write hub, volume or image"
        in told
    )
    there = {"source": {"path": "m"}, "adapter": {"volume": {"claimName": "a", "path": "sft"}}}
    (refused,) = refused_here(make_job(method="LoRA", model=there).spec)
    assert format_place(refused.at) == "model.adapter.volume"
    assert refused.sentence == "is in a cluster, and finetune run is not; write path or hub"


def test_rows_of_the_hub_are_read_in_both_places_and_a_secret_in_a_cluster_alone() -> None:
    secret = {"name": "hub", "key": "token"}
    hub = {"repo": "me/rows", "path": "data/train-*.parquet", "tokenSecretRef": secret}
    data = {"train": {"source": {"hub": hub}}, "evaluation": {"fraction": "0.1"}}
    (told,) = refused_here(make_job(dataset=data).spec)
    assert format_place(told.at) == "dataset.train.source.hub.tokenSecretRef"
    assert not [f for f in refused_in_cluster(make_job(dataset=data).spec) if f.at[0] == "dataset"]


def test_this_machine_refuses_all_that_is_of_a_cluster() -> None:
    found = {format_place(f.at): f.sentence for f in refused_here(make_job(**IN_CLUSTER).spec)}
    assert list(found) == [
        "dataset.train.sources[0].configMap",
        "dataset.train.sources[1].image",
        "dataset.evaluation.source.volume",
        "model.source.hub.tokenSecretRef",
        "output.volume",
        "hardware.nodeSelector",
        "hardware.tolerations",
        "restarts",
        "suspend",
        "ttlSecondsAfterFinished",
        "podTemplate",
    ]
    assert (
        found["output.volume"] == "is in a cluster, and finetune run is not; write path with a folder of this machine"
    )
    assert all("remove" in said or "write" in said for said in found.values())
