"""A job's whole life on a cluster in memory: what is written, and what never is."""

import asyncio
from collections import Counter

from finetune_operator.kube.errors import ForbiddenError, ServerError
from finetune_operator.kube.kinds import CONFIG_MAPS, FINE_TUNE_JOBS, JOBS, PODS
from finetune_trainer.events import FailureEvent
from tests.unit.lifecycle.pods import RESULT
from tests.unit.lifecycle.test_decide import make_step
from tests.unit.lifecycle.worlds import make_inspection
from tests.unit.reconciler.stage import KEY, Stage

RANK_LOST = FailureEvent(code=24, message="another rank is gone")


async def inspected(stage: Stage, **spec: object) -> str:
    """Bring a job to where its options are listed; the first one's id."""
    stage.submit(**spec)
    await stage.step(2)
    (look,) = stage.jobs()
    stage.run_pods(look)
    await stage.step()
    stage.end_pods(look, 0, make_inspection())
    await stage.step(3)
    return str(stage.status["options"][0]["id"])


async def training(stage: Stage) -> str:
    """Bring a job to where its first attempt runs; the attempt's name."""
    option = await inspected(stage)
    stage.submit(plan={"option": option})
    await stage.step(3)
    (name,) = [j for j in stage.jobs() if j.endswith("-1")]
    stage.run_pods(name)
    await stage.step()
    return name


def phases(stage: Stage) -> str:
    return str(stage.status["phase"])


def test_from_the_first_look_to_the_end() -> None:
    async def life() -> None:
        stage = Stage()
        await inspected(stage)
        assert phases(stage) == "AwaitingSelection"
        stage.submit(plan={"option": "recommended"})
        await stage.step()
        assert phases(stage) == "Planned"
        await stage.step()
        assert phases(stage) == "Starting"
        (name,) = [j for j in stage.jobs() if j.endswith("-1")]
        stage.run_pods(name)
        stage.log(name, [make_step(3)])
        await stage.step()
        assert phases(stage) == "Training"
        assert stage.status["progress"]["step"] == 3
        stage.end_pods(name, 0, RESULT)
        await stage.step()
        assert phases(stage) == "Succeeded"
        assert stage.status["evaluation"]["decision"] == "Keep"

    asyncio.run(life())


def test_each_object_is_created_once_and_a_pass_without_news_writes_nothing() -> None:
    async def life() -> None:
        stage = Stage()
        name = await training(stage)
        stage.log(name, [make_step(1)])
        await stage.step()
        before = len(stage.cluster.writes)
        await stage.step(5, after=1)
        assert len(stage.cluster.writes) == before
        made = Counter((r.kind, r.key) for r in stage.cluster.writes if r.verb == "apply")
        assert set(made.values()) == {1}

    asyncio.run(life())


def test_progress_is_looked_for_every_quarter_minute_at_most() -> None:
    async def life() -> None:
        stage = Stage()
        name = await training(stage)
        stage.log(name, [make_step(1)])
        await stage.step()
        reads = [r for r in stage.cluster.requests if r.verb == "log"]
        await stage.step(14, after=1)
        assert [r for r in stage.cluster.requests if r.verb == "log"] == reads
        stage.log(name, [make_step(2)])
        await stage.step(2, after=1)
        assert stage.status["progress"]["step"] == 2

    asyncio.run(life())


def test_a_failure_is_tried_again_and_leaves_one_attempt_s_objects() -> None:
    async def life() -> None:
        stage = Stage()
        name = await training(stage)
        stage.end_pods(name, 24, RANK_LOST)
        await stage.step(2)
        assert phases(stage) == "Restarting"
        assert name not in stage.jobs()
        assert stage.cluster.all_of(PODS) == [] or all(
            p["metadata"]["ownerReferences"][0]["name"] != name for p in stage.cluster.all_of(PODS)
        )
        await stage.step(1, after=200)
        assert [j for j in stage.jobs() if j.endswith("-2")] != []
        assert [a["exitCode"] for a in stage.status["attempts"]] == [24]

    asyncio.run(life())


def test_two_jobs_never_share_a_device() -> None:
    async def life() -> None:
        stage = Stage(gpus=1)
        await training(stage)
        other = {**stage.cluster.all_of(FINE_TUNE_JOBS)[0]}
        other["metadata"] = {"namespace": KEY[0], "name": "other"}
        other.pop("status")
        stage.cluster.add(FINE_TUNE_JOBS, other)
        key = (KEY[0], "other")
        await stage.reconciler.reconcile(key)
        look = next(j for j in stage.jobs() if j.startswith("other"))
        stage.run_pods(look)
        stage.end_pods(look, 0, make_inspection())
        for _ in range(5):
            await stage.reconciler.reconcile(key)
        status = next(j for j in stage.cluster.all_of(FINE_TUNE_JOBS) if j["metadata"]["name"] == "other")["status"]
        assert status["phase"] == "Waiting"
        assert [j for j in stage.jobs() if j.startswith("other") and j.endswith("-1")] == []

    asyncio.run(life())


def test_what_the_api_server_refuses_is_done_by_the_next_pass() -> None:
    async def life() -> None:
        stage = Stage()
        stage.submit()
        for kind in (CONFIG_MAPS, JOBS):
            stage.cluster.fail("apply", kind, ServerError(500))
            try:
                await stage.step()
            except ServerError:
                continue
            raise AssertionError("a refusal is told to whoever tries again")
        await stage.step()
        assert len(stage.jobs()) == 1
        assert phases(stage) == "Inspecting"

    asyncio.run(life())


def test_logs_that_may_not_be_read_are_told_and_stop_nothing() -> None:
    async def life() -> None:
        stage = Stage()
        stage.cluster.fail("log", PODS, ForbiddenError(403, "Forbidden", "no logs for you"), times=99)
        await training(stage)
        assert phases(stage) == "Training"
        running = next(c for c in stage.status["conditions"] if c["type"] == "Running")
        assert "no logs for you" in running["message"]

    asyncio.run(life())


def test_people_are_told_each_turn_once() -> None:
    async def life() -> None:
        stage = Stage()
        name = await training(stage)
        stage.end_pods(name, 0, RESULT)
        await stage.step(3)
        reasons = [n.reason for n in stage.notes]
        assert len(reasons) == len(set(reasons))
        assert [r for r in reasons if r in {"Valid", "Read", "Chosen", "Admitted", "Running", "Completed"}] == [
            "Valid",
            "Read",
            "Chosen",
            "Admitted",
            "Running",
            "Completed",
        ]

    asyncio.run(life())


def test_a_job_that_goes_is_left_to_the_garbage_collector() -> None:
    async def life() -> None:
        stage = Stage()
        await training(stage)
        before = len(stage.cluster.writes)
        stage.cluster.remove(FINE_TUNE_JOBS, KEY)
        await stage.step()
        assert len(stage.cluster.writes) == before
        assert (stage.jobs(), stage.config_maps(), stage.cluster.all_of(PODS)) == ([], [], [])

    asyncio.run(life())
