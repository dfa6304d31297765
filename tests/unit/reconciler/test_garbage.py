"""Objects that were written past validation: each is told what is wrong with it, and nothing else is disturbed."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.api.conditions import ConditionStatus
from finetune_operator.kube.kinds import FINE_TUNE_JOBS, NODES
from finetune_operator.kube.metrics import Metrics
from finetune_operator.kube.mirror import Mirror, Scope
from finetune_operator.kube.store import Store
from finetune_operator.kube.workqueue import WorkQueue
from finetune_operator.lifecycle.actions import Apply, Decision
from finetune_operator.lifecycle.decide import decide
from finetune_operator.reconciler.gather import gather
from finetune_operator.reconciler.resource import waits_for_devices
from tests.support.bad_jobs import BadJob, changed, make_cluster_job
from tests.support.fake_cluster import FakeCluster
from tests.support.garbage import NAMES, SPECS, STATUSES
from tests.unit.lifecycle.worlds import IDENTITY, SETTINGS
from tests.unit.reconciler.stage import KEY, Stage, make_node

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({*make_cluster_job()["spec"], "hardware", "plan", "suspend", "training", "podTemplate"})


def passed(**fields: Any) -> Stage:
    """What became of a job with such a spec or status."""
    stage = Stage()
    meta = {"namespace": IDENTITY.namespace, "name": IDENTITY.name}
    stage.cluster.add(FINE_TUNE_JOBS, {**make_cluster_job(), "metadata": meta, **fields})
    asyncio.run(stage.step(2))
    return stage


def decided(status: Any) -> Decision:
    """What is to become of a job with such a status; the cluster in memory can't write over each of them."""
    stage = Stage()
    found = {**stage.submit(), "status": status}
    return decide(gather(stage.reconciler.world, found, stage.now), SETTINGS)


def accepted(stage: Stage) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in stage.status["conditions"] if c["type"] == "Accepted")
    return found


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_that_is_none_is_told_so(name: str) -> None:
    stage = passed(spec=SPECS[name])
    told = accepted(stage)
    assert (told["status"], told["reason"]) == ("False", "InvalidSpec")
    assert told["message"].isprintable()
    assert 10 < len(told["message"]) <= 32768
    assert (stage.jobs(), stage.config_maps()) == ([], [])


@pytest.mark.parametrize("bad", NAMES, ids=lambda b: b.id)
def test_a_name_that_children_can_not_be_named_after_is_told_so(bad: BadJob) -> None:
    stage = Stage()
    name = bad.changes["metadata.name"]
    stage.cluster.add(FINE_TUNE_JOBS, {**make_cluster_job(), "metadata": {"namespace": "a", "name": name}})
    asyncio.run(stage.reconciler.reconcile(("a", name)))
    assert accepted(stage)["reason"] == "InvalidSpec"
    assert "name" in accepted(stage)["message"]


@pytest.mark.parametrize("name", STATUSES)
def test_a_status_that_is_none_is_begun_anew(name: str) -> None:
    decision = decided(STATUSES[name])
    assert decision.status.conditions[0].status is ConditionStatus.TRUE
    assert [type(a) for a in decision.actions] == [Apply, Apply]


@given(field=st.sampled_from(FIELDS), value=JSON)
def test_whatever_is_in_a_spec_a_pass_ends(field: str, value: Any) -> None:
    stage = passed(spec=changed(make_cluster_job(), {f"spec.{field}": value or 0})["spec"])
    assert accepted(stage)["message"]


@given(value=JSON)
def test_whatever_is_in_a_status_a_pass_ends(value: Any) -> None:
    assert decided(value).status.conditions[0].message


@pytest.mark.parametrize("name", STATUSES)
def test_a_status_that_is_none_keeps_nobody_from_being_woken(name: str) -> None:
    async def life() -> None:
        store, queue, cluster = Store(), WorkQueue(Metrics()), FakeCluster()
        mirror = Mirror(cluster, store, queue, waits=waits_for_devices, scope=Scope())
        meta = {"namespace": KEY[0], "name": KEY[1], "uid": "u", "resourceVersion": "1"}
        mirror.observe(FINE_TUNE_JOBS, "", {**make_cluster_job(), "metadata": meta, "status": STATUSES[name]})
        assert await queue.get() == KEY
        node = make_node("n", 8)
        node["metadata"] |= {"uid": "n", "resourceVersion": "2"}
        mirror.observe(NODES, "", node)

    asyncio.run(life())
