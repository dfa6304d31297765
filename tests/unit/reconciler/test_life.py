"""A job's whole life on a cluster in memory: what is written, and what never is."""

import asyncio
from collections import Counter
from copy import deepcopy

import pytest

from finetune_operator.kube.errors import ForbiddenError, ServerError
from finetune_operator.kube.kinds import CONFIG_MAPS, FINE_TUNE_JOBS, JOBS, PODS, key_of
from finetune_trainer.events import CheckpointEvent, FailureEvent, ResumeEvent, format_event
from tests.unit.lifecycle.pods import RESULT, ended
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
        made = Counter((r.kind, r.key) for r in stage.cluster.writes if r.verb == "create")
        assert set(made.values()) == {1}

    asyncio.run(life())


def test_a_pass_goes_as_far_as_it_can_and_writes_one_status() -> None:
    async def life() -> None:
        stage = Stage()
        stage.submit(plan={"option": "recommended"})
        await stage.step()
        (look,) = stage.jobs()
        stage.run_pods(look)
        await stage.step()
        stage.end_pods(look, 0, make_inspection())
        before = len(stage.cluster.writes)
        await stage.step()
        assert [(r.verb, r.kind) for r in stage.cluster.writes[before:]] == [
            ("create", CONFIG_MAPS),
            ("create", CONFIG_MAPS),
            ("create", JOBS),
            ("apply_status", FINE_TUNE_JOBS),
        ]
        assert phases(stage) == "Starting"

    asyncio.run(life())


def test_what_was_done_before_a_refusal_is_told_and_gone_on_from() -> None:
    async def life() -> None:
        stage = Stage()
        await inspected(stage)
        stage.submit(plan={"option": "recommended"})
        stage.cluster.fail("create", JOBS, ForbiddenError(403, "Forbidden", "exceeded quota"))
        with pytest.raises(ForbiddenError):
            await stage.step()
        assert phases(stage) == "Planned"
        assert "option" in stage.status["plan"]
        await stage.step()
        assert phases(stage) == "Starting"

    asyncio.run(life())


def test_progress_is_looked_for_every_quarter_minute_at_most() -> None:
    async def life() -> None:
        stage = Stage()
        name = await training(stage)
        stage.log(name, [make_step(1)])
        await stage.step(15, after=1)
        assert stage.status["progress"]["step"] == 1
        reads = [r for r in stage.cluster.requests if r.verb == "log"]
        await stage.step(14, after=1)
        assert [r for r in stage.cluster.requests if r.verb == "log"] == reads
        stage.log(name, [make_step(2)])
        await stage.step(2, after=1)
        assert stage.status["progress"]["step"] == 2

    asyncio.run(life())


def test_a_log_without_progress_is_looked_at_no_more_often() -> None:
    async def life() -> None:
        stage = Stage()
        await training(stage)
        before = [r for r in stage.cluster.requests if r.verb == "log"]
        assert len(before) == 1
        await stage.step(10, after=1)
        assert [r for r in stage.cluster.requests if r.verb == "log"] == before
        await stage.step(1, after=15)
        assert len([r for r in stage.cluster.requests if r.verb == "log"]) == 2

    asyncio.run(life())


def test_a_pod_that_has_ended_before_its_job_has_is_not_starting_again() -> None:
    async def life() -> None:
        stage = Stage()
        name = await training(stage)
        job = next(j for j in stage.cluster.all_of(JOBS) if j["metadata"]["name"] == name)
        stage.end_pods(name, 0, RESULT)
        stage.cluster.add(JOBS, {**job, "status": {"active": 1}})
        before = len(stage.cluster.writes)
        await stage.step(2)
        assert phases(stage) == "Training"
        assert len(stage.cluster.writes) == before

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


@pytest.mark.parametrize(
    ("gpus", "path", "reason"),
    [
        pytest.param(1, "elsewhere", "WaitingForCapacity", id="one-device"),
        pytest.param(8, "tickets", "WaitingForOutput", id="one-output"),
        pytest.param(8, "elsewhere", "Admitted", id="neither"),
    ],
)
def test_two_jobs_never_share_a_device_nor_an_output(gpus: int, path: str, reason: str) -> None:
    async def life() -> None:
        stage = Stage(gpus=gpus)
        await training(stage)
        other = deepcopy(stage.cluster.all_of(FINE_TUNE_JOBS)[0])
        other["metadata"] = {"namespace": KEY[0], "name": "other"}
        other["spec"]["output"] = {"volume": {"claimName": "adapters", "path": path}}
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
        assert next(c["reason"] for c in status["conditions"] if c["type"] == "Admitted") == reason
        started = [j for j in stage.jobs() if j.startswith("other") and j.endswith("-1")]
        assert bool(started) is (reason == "Admitted")

    asyncio.run(life())


def test_a_choice_is_known_by_what_it_holds_where_somebody_took_its_annotations_away() -> None:
    async def life() -> None:
        stage = Stage()
        name = await training(stage)
        before = stage.status["plan"]
        (run,) = [m for m in stage.cluster.all_of(CONFIG_MAPS) if "job.json" in m["data"]]
        del run["metadata"]["annotations"]
        stage.cluster.add(CONFIG_MAPS, run)
        await stage.step(2)
        assert phases(stage) == "Training"
        assert stage.status["plan"] == before
        assert name in stage.jobs()

    asyncio.run(life())


def test_pods_that_outlive_their_job_keep_the_next_attempt_waiting() -> None:
    async def life() -> None:
        stage = Stage()
        name = await training(stage)
        (job,) = [j for j in stage.cluster.all_of(JOBS) if j["metadata"]["name"] == name]
        # in the background: the fake's garbage collector would take the pods at once
        orphans = [p for p in stage.cluster.all_of(PODS) if p["metadata"]["name"].startswith(name)]
        stage.cluster.remove(JOBS, key_of(job))
        for pod in orphans:
            stage.cluster.add(PODS, {**pod, "metadata": {**pod["metadata"], "ownerReferences": []}})
        await stage.step(3)
        assert phases(stage) == "Waiting"
        assert name not in stage.jobs()
        for pod in orphans:
            stage.cluster.remove(PODS, key_of(pod))
        await stage.step(2)
        assert name in stage.jobs()

    asyncio.run(life())


def test_what_the_api_server_refuses_is_done_by_the_next_pass() -> None:
    async def life() -> None:
        stage = Stage()
        stage.submit()
        for kind in (CONFIG_MAPS, JOBS):
            stage.cluster.fail("create", kind, ServerError(500))
            try:
                await stage.step()
            except ServerError:
                continue
            raise AssertionError("a refusal is told to whoever tries again")
        await stage.step()
        assert len(stage.jobs()) == 1
        assert phases(stage) == "Inspecting"

    asyncio.run(life())


def test_in_a_namespace_that_is_being_deleted_nothing_is_made_and_nothing_is_wrong() -> None:
    async def life() -> None:
        stage = Stage()
        stage.submit()
        goes = ForbiddenError(403, "Forbidden", "it is being terminated", ("NamespaceTerminating",))
        stage.cluster.fail("create", CONFIG_MAPS, goes)
        assert await stage.step() is None
        assert stage.jobs() == []
        stage.cluster.fail("create", CONFIG_MAPS, ForbiddenError(403, "Forbidden", "exceeded quota"))
        with pytest.raises(ForbiddenError, match="exceeded quota"):
            await stage.step()

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


def test_the_log_of_a_job_that_is_over_is_left_alone() -> None:
    async def life() -> None:
        stage = Stage()
        name = await training(stage)
        stage.end_pods(name, 0, RESULT)
        await stage.step()
        assert phases(stage) == "Succeeded"
        before = len(stage.cluster.requests)
        await stage.step(3, after=60)
        assert stage.cluster.requests[before:] == []

    asyncio.run(life())


def test_people_are_told_each_turn_once() -> None:
    async def life() -> None:
        stage = Stage()
        name = await training(stage)
        stage.end_pods(name, 0, RESULT)
        await stage.step(3)
        assert [n.reason for n in stage.notes] == [
            "Inspecting",
            "AwaitingSelection",
            "Starting",
            "Running",
            "Completed",
        ]
        told = "; ".join(n.message for n in stage.notes)
        for once in ("the spec is consistent", "have been read", "is chosen", "fit at once", "training has ended"):
            assert told.count(once) == 1

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


def test_the_checkpoint_of_a_stop_on_request_is_known_while_the_job_is_suspended() -> None:
    async def life() -> None:
        stage = Stage()
        name = await training(stage)
        (pod,) = [p for p in stage.cluster.all_of(PODS) if p["metadata"]["ownerReferences"][0]["name"] == name]
        # a kubelet keeps its pod until the containers have ended and their end is told
        stage.cluster.add(PODS, {**pod, "metadata": {**pod["metadata"], "finalizers": ["a-kubelet"]}})
        stage.submit(plan={"option": "recommended"}, suspend=True)
        await stage.step()
        stage.log(name, [make_step(7), CheckpointEvent(step=7, path="/volumes/output/tickets/checkpoints/step-7")])
        stopped = ended(0, 40, said=format_event(FailureEvent(code=40, message="stopped on request")))
        (pod,) = [p for p in stage.cluster.all_of(PODS) if "deletionTimestamp" in p["metadata"]]
        stage.cluster.add(PODS, {**pod, "status": stopped["status"]})
        await stage.step()
        assert stage.status["checkpoint"]["step"] == 7

    asyncio.run(life())


def test_the_checkpoint_that_a_run_goes_on_from_is_told() -> None:
    async def life() -> None:
        stage = Stage()
        name = await training(stage)
        stage.log(name, [ResumeEvent(step=5, path="/elsewhere/checkpoints/step-5")])
        await stage.step(after=20)
        assert (stage.status["checkpoint"]["step"], stage.status["checkpoint"]["path"]) == (
            5,
            "/elsewhere/checkpoints/step-5",
        )
        saved_at = stage.status["checkpoint"]["savedAt"]
        await stage.step(after=20)
        assert stage.status["checkpoint"]["savedAt"] == saved_at

    asyncio.run(life())
