"""One pass over one job: what is done and what is said, from the first look to the end."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from finetune_operator.api.conditions import ConditionType, find_condition
from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.lifecycle.actions import Apply, Decision, Delete
from finetune_operator.lifecycle.decide import decide
from finetune_operator.lifecycle.observed import Child, Observed
from finetune_operator.planner.capacity import Capacity
from finetune_operator.renderers.placement import PLACEMENT_FILE, Placement
from finetune_operator.units import GIB
from finetune_trainer.events import CheckpointEvent, FailureEvent, StepEvent, format_event
from tests.unit.lifecycle.pods import BEGAN, RESULT, ended, failure, make_job, make_pod, running, stamp, success
from tests.unit.lifecycle.test_admission import make_placement
from tests.unit.lifecycle.worlds import (
    GPUS,
    SETTINGS,
    attempts,
    children,
    later,
    make_chosen,
    make_cluster_job,
    make_inspection,
    see,
)
from tests.unit.planner.builders import make_capacity, make_gpus

ONE = make_placement(1, 1, product="NVIDIA-A100-SXM4-80GB")
UNKNOWN_TARGET = {"targetModules": ["nothing_of_that_name"]}


def phase(decision: Decision) -> str:
    return decision.status.phase


def said(status: FineTuneJobStatus, kind: str) -> tuple[str, str, str]:
    condition = find_condition(status.conditions, ConditionType(kind))
    assert condition is not None
    return condition.status.value, condition.reason, condition.message


def applied(decision: Decision) -> list[tuple[str, str]]:
    return [(a.manifest["kind"], a.manifest["metadata"]["name"]) for a in decision.actions if isinstance(a, Apply)]


def run(seen: Observed) -> Decision:
    return decide(seen, SETTINGS)


def test_a_new_job_has_model_and_data_read() -> None:
    decision = run(see())
    assert phase(decision) == "Inspecting"
    assert [kind for kind, _ in applied(decision)] == ["ConfigMap", "Job"]
    assert decision.status.observed_generation == 3


def test_a_job_that_can_t_be_read_is_told_and_touched_by_nothing() -> None:
    decision = run(see(job=None, problem="spec.method: Magic isn't one"))
    assert phase(decision) == "Invalid"
    assert said(decision.status, "Accepted") == ("False", "InvalidSpec", "spec.method: Magic isn't one")
    assert decision.actions == ()


def test_what_an_inspection_says_is_kept() -> None:
    end = ended(0, 0, said=format_event(make_inspection()))
    decision = run(see(inspection=make_job(end, state="Complete")))
    assert applied(decision) == [("ConfigMap", "tickets-1a2b3c4d-facts-0")]


def test_bad_data_is_told_and_read_again_later() -> None:
    found = make_job(ended(0, 11, at=100, said=failure(11, "train.jsonl:17: no answer")), state="Failed")
    decision = run(see(inspection=found))
    assert phase(decision) == "Invalid"
    assert said(decision.status, "Inspected") == ("False", "DatasetInvalid", "train.jsonl:17: no answer")
    assert (decision.actions, decision.again) == ((), timedelta(minutes=10))
    much_later = run(see(inspection=found, now=BEGAN + timedelta(hours=1)))
    assert [type(a) for a in much_later.actions] == [Delete]


def test_an_inspection_that_can_t_start_says_why() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    pod = make_pod(phase="Pending", containerStatuses=[{"name": "trainer", "state": waiting}])
    decision = run(see(inspection=make_job(pod)))
    assert said(decision.status, "Inspected") == ("Unknown", "Inspecting", "ErrImagePull: no such image")


def refused(**spec: Any) -> Observed:
    """A job whose model was read, and is of a family that isn't known."""
    unknown = make_inspection().model_copy(update={"model_config_json": '{"model_type": "mamba9"}'})
    look = make_job(ended(0, 0), state="Complete")
    kept = Child(api_version="v1", kind="ConfigMap", name="tickets-1a2b3c4d-facts-0", uid="u8", attempt=None)
    job = Child(api_version="batch/v1", kind="Job", name=look.name, uid=look.uid, attempt=None)
    return see(facts=unknown, facts_since=BEGAN, inspection=look, children=(kept, job), **spec)


def test_a_model_that_can_t_be_planned_is_read_again_later() -> None:
    decision = run(refused())
    assert said(decision.status, "Inspected")[:2] == ("False", "ModelUnreadable")
    assert (decision.actions, decision.again) == ((), timedelta(minutes=10) - timedelta(seconds=110))
    later_on = run(refused(now=BEGAN + timedelta(minutes=10)))
    # the Job first: what it said would be taken again
    assert [a.kind for a in later_on.actions if isinstance(a, Delete)] == ["Job", "ConfigMap"]
    assert said(later_on.status, "Inspected")[:2] == ("False", "ModelUnreadable")


def test_facts_that_another_version_wrote_are_read_again() -> None:
    """Their ConfigMap is immutable: what is read anew couldn't be kept beside it."""
    decision = run(replace(refused(), facts=None))
    assert [a.kind for a in decision.actions if isinstance(a, Delete)] == ["Job", "ConfigMap"]
    assert phase(decision) == "Inspecting"


def test_what_is_read_is_kept_where_only_the_spec_is_wrong() -> None:
    decision = run(replace(refused(), facts=make_inspection(), job=make_cluster_job(adapter=UNKNOWN_TARGET)))
    assert said(decision.status, "Accepted")[1] == "InvalidSpec"
    assert (decision.actions, decision.again) == ((), None)


def test_several_ways_wait_for_a_choice() -> None:
    decision = run(see(facts=make_inspection()))
    assert phase(decision) == "AwaitingSelection"
    assert decision.actions == ()
    assert len(decision.status.options) > 1
    assert "kubectl finetune select tickets" in said(decision.status, "Planned")[2]


def test_a_choice_is_kept_with_all_that_the_run_is_started_with() -> None:
    option = run(see(facts=make_inspection())).status.options[0].id
    decision = run(see(facts=make_inspection(), job=make_cluster_job(plan={"option": option})))
    assert phase(decision) == "Planned"
    (action,) = decision.actions
    assert isinstance(action, Apply)
    assert action.manifest["immutable"] is True
    assert {"job.json", "deepspeed.json", PLACEMENT_FILE} <= set(action.manifest["data"])
    assert decision.status.plan is not None
    assert decision.status.plan.config_map == action.manifest["metadata"]["name"]


COMMIT = "12fd25f77366fa6b3b4b768ec3050bf629380bac"


def from_hub(**spec: Any) -> FineTuneJob:
    source = {"source": {"hub": {"repo": "me/tiny", "revision": "main"}}}
    return make_cluster_job(model=source, plan={"option": "recommended"}, **spec)


def fetched(action: Apply | Delete) -> list[str]:
    assert isinstance(action, Apply)
    command: list[str] = action.manifest["spec"]["template"]["spec"]["initContainers"][0]["command"]
    return command[3:5]


def test_every_attempt_fetches_the_commit_that_was_inspected_though_the_branch_moves() -> None:
    facts = make_inspection().model_copy(update={"commit": COMMIT})
    planned = run(see(facts=facts, job=from_hub()))
    assert planned.status.model is not None
    assert planned.status.model.revision == COMMIT
    (kept,) = planned.actions
    assert isinstance(kept, Apply)
    assert f"revision: {COMMIT}" in kept.manifest["data"]["finetune_config.yaml"]
    placement = Placement.model_validate_json(kept.manifest["data"][PLACEMENT_FILE])
    started = run(see(chosen=make_chosen(placement), job=from_hub()))
    assert fetched(started.actions[-1]) == ["me/tiny", COMMIT]


def test_a_choice_of_before_commits_were_kept_fetches_what_the_job_names() -> None:
    assert fetched(run(see(chosen=make_chosen(ONE), job=from_hub())).actions[-1]) == ["me/tiny", "main"]


def test_recommended_is_an_approval_in_advance() -> None:
    decision = run(see(facts=make_inspection(), job=make_cluster_job(plan={"option": "recommended"})))
    assert decision.status.plan is not None
    assert decision.status.plan.option == decision.status.options[0].id


@pytest.mark.parametrize(("option", "reason"), [("full-1x80g", "InfeasibleSelection"), ("lora-9x9g", "UnknownOption")])
def test_a_choice_that_can_t_be_is_refused_and_never_swapped(option: str, reason: str) -> None:
    decision = run(see(facts=make_inspection(), job=make_cluster_job(plan={"option": option})))
    assert phase(decision) == "Infeasible"
    assert said(decision.status, "Planned")[1] == reason
    assert decision.actions == ()


def test_nothing_that_fits_tells_the_hardware_it_would_take() -> None:
    small = make_capacity(make_gpus(1, 1, 1, resource="nvidia.com/gpu", product="small", ram=GIB, free_ram=GIB))
    decision = run(see(facts=make_inspection(), capacity=small))
    assert said(decision.status, "Planned")[1] == "Infeasible"
    assert decision.status.hardware is not None
    assert decision.status.rejected


def test_devices_that_only_dra_gives_are_claimed_by_a_template_of_the_attempt() -> None:
    offered = make_gpus(80, 8, 2, resource="gpu.nvidia.com", product=GPUS.device.product, free_devices=((8, 2),))
    claimed = make_capacity(offered)
    listed = run(see(facts=make_inspection(), capacity=claimed))
    assert phase(listed) == "AwaitingSelection"
    placement = make_placement(1, 1, product=GPUS.device.product, resource="gpu.nvidia.com")
    decision = run(see(chosen=make_chosen(placement), capacity=claimed))
    assert applied(decision) == [("ResourceClaimTemplate", "tickets-1a2b3c4d-1"), ("Job", "tickets-1a2b3c4d-1")]


def test_a_chosen_job_starts_when_its_pods_fit() -> None:
    decision = run(see(chosen=make_chosen(ONE)))
    assert phase(decision) == "Starting"
    assert applied(decision) == [("Job", "tickets-1a2b3c4d-1")]
    two = run(see(chosen=make_chosen(make_placement(2, 8, product="NVIDIA-A100-SXM4-80GB"))))
    assert applied(two) == [("Service", "tickets-1a2b3c4d-1"), ("Job", "tickets-1a2b3c4d-1")]


def test_busy_devices_are_waited_for() -> None:
    busy = make_capacity(
        make_gpus(80, 8, 2, resource="nvidia.com/gpu", product=GPUS.device.product, free_devices=((0, 2),))
    )
    decision = run(see(chosen=make_chosen(ONE), capacity=busy))
    assert phase(decision) == "Waiting"
    assert decision.actions == ()
    assert said(decision.status, "Admitted")[1] == "WaitingForCapacity"


def busy(*free: int) -> Capacity:
    counts = tuple((f, free.count(f)) for f in sorted(set(free), reverse=True))
    found = make_gpus(80, 8, len(free), resource="nvidia.com/gpu", product=GPUS.device.product, free_devices=counts)
    return make_capacity(found)


def test_what_is_free_meanwhile_is_no_news_as_long_as_it_isn_t_enough() -> None:
    chosen = make_chosen(make_placement(2, 8, product="NVIDIA-A100-SXM4-80GB"))
    first = run(see(chosen=chosen, capacity=busy(0, 0, 0)))
    assert phase(first) == "Waiting"
    again = run(later(see(chosen=chosen, capacity=busy(8, 0, 0)), first.status))
    assert again.status == first.status


def test_a_resumed_job_that_has_to_wait_says_so() -> None:
    stopped = watched(running(), suspended=True).status
    held = run(see(chosen=make_chosen(ONE), status=stopped, suspended=True))
    assert phase(held) == "Suspended"
    assert phase(run(see(chosen=make_chosen(ONE), status=held.status, capacity=busy(0)))) == "Waiting"


def test_a_suspended_job_isn_t_started() -> None:
    decision = run(see(chosen=make_chosen(ONE), suspended=True))
    assert (phase(decision), decision.actions) == ("Suspended", ())


def watched(*pods: dict[str, Any], state: str = "", **overrides: Any) -> Decision:
    """A pass over a job whose first attempt has those pods."""
    start = run(see(chosen=make_chosen(ONE))).status
    found = attempts(make_job(*pods, state=state))
    return run(see(chosen=make_chosen(ONE), status=start, attempts=found, **overrides))


def make_step(step: int) -> StepEvent:
    return StepEvent(step=step, steps=9, epoch=0.5, loss=1.5, learning_rate=1e-4, gradient_norm=None,
                     tokens_per_second=100.0, remaining_seconds=60.0, memory_bytes=10)  # fmt: skip


def test_a_running_job_tells_its_progress_once() -> None:
    events = (make_step(2), CheckpointEvent(step=3, path="/c"), make_step(4))
    decision = watched(running(), events=events)
    assert phase(decision) == "Training"
    assert decision.status.progress is not None
    assert decision.status.progress.step == 4
    assert decision.status.checkpoint is not None
    again = see(chosen=make_chosen(ONE), attempts=attempts(make_job(running())), events=events)
    soon = run(later(again, decision.status, now=again.now + timedelta(seconds=5)))
    assert soon.status == decision.status


def test_a_pod_that_has_ended_well_is_not_one_that_starts() -> None:
    """The kubelet tells of a pod's end before the Job controller tells of the Job's."""
    before = watched(running(), events=(make_step(4),))
    world = see(chosen=make_chosen(ONE), attempts=attempts(make_job(ended(0, 0, said=success()))))
    assert phase(run(later(world, before.status))) == "Training"


def test_a_pod_that_doesn_t_start_says_why() -> None:
    pod = make_pod(node="", phase="Pending", conditions=[
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"},
    ])  # fmt: skip
    assert said(watched(pod).status, "Running") == ("False", "Starting", "Unschedulable: 0/3 nodes")


def test_a_log_that_may_not_be_read_stops_nothing() -> None:
    decision = watched(running(), log_problem="pods/log is forbidden")
    assert phase(decision) == "Training"
    assert "pods/log is forbidden" in said(decision.status, "Running")[2]


def test_what_a_log_said_stands_until_it_is_looked_at_again() -> None:
    """A log is looked at now and then, and a pass comes more often: two would write a status each in turns."""
    found = attempts(make_job(running()))
    world = see(chosen=make_chosen(ONE), attempts=found, log_problem="pods/log is forbidden")
    told = watched(running(), log_problem="pods/log is forbidden").status
    assert run(later(replace(world, log_problem=None), told)).status == told
    assert said(run(later(replace(world, log_problem=""), told)).status, "Running")[2] == "training"


def test_success_is_the_result_that_was_left() -> None:
    decision = watched(ended(0, 0, said=success()), state="Complete")
    assert phase(decision) == "Succeeded"
    assert decision.status.evaluation is not None
    assert [a.outcome for a in decision.status.attempts] == ["Completed"]


def test_a_failure_that_may_pass_is_recorded_and_tried_again_after_a_pause() -> None:
    decision = watched(ended(0, 24, said=failure(24, "gone")), state="Failed")
    assert phase(decision) == "Restarting"
    assert (decision.status.restarts, decision.status.attempts[0].exit_code) == (1, 24)
    old = make_job(ended(0, 24), state="Failed")
    world = see(chosen=make_chosen(ONE), attempts=attempts(old), children=children(old))
    soon = run(later(world, decision.status, now=BEGAN + timedelta(seconds=105)))
    assert [type(a) for a in soon.actions] == [Delete]
    # not before the old pods are gone, and not before the pause is over
    gone = run(later(world, decision.status, now=BEGAN + timedelta(seconds=105), attempts={}, children=()))
    assert gone.again is not None
    assert gone.actions == ()
    after = run(later(world, decision.status, now=BEGAN + timedelta(seconds=130), attempts={}))
    assert applied(after) == [("Job", "tickets-1a2b3c4d-2")]


def test_restarts_come_to_an_end() -> None:
    start = run(see(chosen=make_chosen(ONE))).status.model_copy(update={"restarts": 3})
    found = attempts(make_job(ended(0, 24, said=failure(24, "gone")), state="Failed"))
    decision = run(see(chosen=make_chosen(ONE), status=start, attempts=found))
    assert phase(decision) == "Failed"
    assert said(decision.status, "Failed")[1:] == ("RestartsExhausted", "3 restarts were not enough; the last: gone")


def test_what_another_attempt_wouldn_t_mend_fails_at_once() -> None:
    decision = watched(ended(0, 12, said=failure(12, "no tokenizer")), state="Failed")
    assert said(decision.status, "Failed") == ("True", "ModelError", "no tokenizer")


def test_a_lack_of_memory_is_told_with_need_and_one_change_and_never_replanned() -> None:
    listed = run(see(facts=make_inspection(), job=make_cluster_job(plan={"option": "recommended"}))).status
    assert listed.plan is not None
    chosen = replace(make_chosen(ONE), option=listed.plan.option)
    short = make_job(ended(0, 20, said=failure(20, "not enough")), state="Failed")
    decision = run(see(chosen=chosen, status=listed, attempts=attempts(short)))
    status, reason, message = said(decision.status, "Failed")
    assert (status, reason, decision.again) == ("True", "OutOfMemory", None)
    assert message.startswith("not enough; planned ")
    assert "hardware.memoryMargin: " in message


def test_suspending_ends_the_attempt_and_its_number_is_used_again() -> None:
    decision = watched(running(), suspended=True)
    assert [type(a) for a in decision.actions] == [Delete]
    going = attempts(make_job(running(), deletionTimestamp=stamp(5)))
    world = see(chosen=make_chosen(ONE), attempts=going, suspended=True)
    assert run(later(world, decision.status)).actions == ()
    gone = run(later(world, decision.status, attempts={}))
    assert (phase(gone), gone.actions) == ("Suspended", ())
    resumed = run(later(world, gone.status, attempts={}, suspended=False))
    assert applied(resumed) == [("Job", "tickets-1a2b3c4d-1")]


def test_a_job_that_is_over_ends_what_still_runs_and_says_nothing_new() -> None:
    over = watched(ended(0, 12, said=failure(12, "no tokenizer")), state="Failed").status
    decision = run(see(chosen=make_chosen(ONE), status=over, attempts=attempts(make_job(running()))))
    assert decision.status == over
    assert [type(a) for a in decision.actions] == [Delete]


def test_what_the_log_says_of_an_end_is_no_end() -> None:
    lost = FailureEvent(code=24, message="gone")
    assert phase(watched(running(), events=(lost,))) == "Training"
    assert phase(watched(running(), events=(RESULT,))) == "Training"
    ended_well = watched(ended(0, 24, said=failure(24, "gone")), state="Failed", events=(lost,))
    assert phase(ended_well) == "Restarting"


def test_an_attempt_whose_pods_find_no_node_gives_its_devices_back() -> None:
    pod = make_pod(node="", phase="Pending", conditions=[
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"},
    ])  # fmt: skip
    late = BEGAN + timedelta(minutes=10)
    decision = watched(pod, now=late)
    assert (phase(decision), [type(a) for a in decision.actions]) == ("Waiting", [Delete])
    assert "0/3 nodes" in said(decision.status, "Admitted")[2]
    assert watched(running(), now=late).actions == ()


def test_an_attempt_whose_image_can_t_be_had_gives_its_devices_back() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    pod = make_pod(phase="Pending", containerStatuses=[{"name": "trainer", "state": waiting}])
    decision = watched(running(0), pod, now=BEGAN + timedelta(minutes=10))
    assert (phase(decision), [type(a) for a in decision.actions]) == ("Waiting", [Delete])
    assert "ImagePullBackOff: no such image" in said(decision.status, "Admitted")[2]
    assert watched(pod, now=BEGAN + timedelta(minutes=9)).actions == ()


def test_an_attempt_whose_volumes_aren_t_there_gives_its_devices_back() -> None:
    """The kubelet says it in events alone, and that the pod isn't ready to start containers."""
    creating = [{"name": "trainer", "state": {"waiting": {"reason": "ContainerCreating"}}}]
    conditions = [{"type": "PodReadyToStartContainers", "status": "False"}]
    pod = make_pod(phase="Pending", containerStatuses=creating, conditions=conditions)
    assert said(watched(pod).status, "Running")[2] == "0 of 1 pods run"
    late = BEGAN + timedelta(minutes=10)
    decision = watched(pod, now=late)
    assert [type(a) for a in decision.actions] == [Delete]
    assert "its volumes or its network aren't ready on node n1" in said(decision.status, "Admitted")[2]
    # an image of many gigabytes takes its time
    pulling = [{"type": "PodReadyToStartContainers", "status": "True"}]
    assert watched(make_pod(phase="Pending", containerStatuses=creating, conditions=pulling), now=late).actions == ()


def test_a_choice_stands_although_it_was_not_told() -> None:
    """The ConfigMap was written, and the operator killed before the status was."""
    before = run(see(facts=make_inspection())).status
    decision = run(see(chosen=make_chosen(ONE), status=before, attempts=attempts(make_job(running()))))
    assert decision.status.plan is not None
    assert said(decision.status, "Planned")[:2] == ("True", "Chosen")
    assert said(decision.status, "Admitted")[0] == "True"


def test_a_lost_status_starts_no_second_run() -> None:
    second = {2: make_job(running(), name="a-2")}
    decision = run(see(chosen=make_chosen(ONE), attempts=second))
    assert (phase(decision), decision.actions) == ("Training", ())


def test_what_runs_is_watched_although_its_spec_can_t_be_read_any_more() -> None:
    world = see(chosen=make_chosen(ONE), job=None, problem="spec.method: Magic isn't one")
    done = attempts(make_job(ended(0, 0, said=success()), state="Complete"))
    assert phase(run(replace(world, attempts=done))) == "Succeeded"
    assert run(world).actions == ()


def test_an_attempt_waits_until_the_one_before_is_gone() -> None:
    decision = watched(ended(0, 24, said=failure(24, "gone")), state="Failed")
    going = {1: make_job(running(), deletionTimestamp=stamp(120))}
    world = see(chosen=make_chosen(ONE), attempts=going)
    waiting = run(later(world, decision.status, now=BEGAN + timedelta(hours=1)))
    assert waiting.actions == ()
    assert said(waiting.status, "Admitted")[:2] == ("False", "WaitingForOutput")
    assert "Job a-1 may still write" in said(waiting.status, "Admitted")[2]


def test_a_job_whose_attempt_somebody_deleted_doesn_t_say_that_it_trains() -> None:
    told = watched(running()).status
    gone = see(chosen=make_chosen(ONE), status=told)
    assert phase(run(replace(gone, capacity=lambda: busy(0)))) == "Waiting"
    assert phase(run(replace(gone, suspended=True))) == "Suspended"


def test_pods_whose_job_is_gone_are_waited_for_and_named() -> None:
    """Somebody deleted the Job in the background, or a job that wrote to this output."""
    pods = ["pod old-1-0-x", "Job old-1"]
    waiting = run(see(chosen=make_chosen(ONE), writers=lambda: pods))
    assert (phase(waiting), waiting.actions) == ("Waiting", ())
    assert said(waiting.status, "Admitted")[2].startswith("pod old-1-0-x and 1 more may still write to the output")
    assert "kubectl delete pod old-1-0-x --namespace support --force" in said(waiting.status, "Admitted")[2]
    gone = run(later(see(chosen=make_chosen(ONE)), waiting.status))
    assert applied(gone) == [("Job", "tickets-1a2b3c4d-1")]


def test_a_time_of_transition_moves_with_a_transition_alone() -> None:
    first = watched(running())
    started = find_condition(first.status.conditions, ConditionType.RUNNING)
    world = see(chosen=make_chosen(ONE), attempts=attempts(make_job(make_pod(phase="Pending"))))
    pending = run(later(world, first.status, now=world.now + timedelta(seconds=3)))
    events = (make_step(3),)
    again = run(later(replace(world, events=events), pending.status, now=world.now + timedelta(seconds=6)))
    old, new = (find_condition(d.status.conditions, ConditionType.RUNNING) for d in (pending, again))
    assert started is not None
    assert old is not None
    assert new is not None
    assert started.last_transition_time < old.last_transition_time == new.last_transition_time


def test_what_a_job_leaves_in_the_cluster_goes_when_its_time_has_come() -> None:
    found = make_job(ended(0, 0, said=success()), state="Complete")
    over = watched(ended(0, 0, said=success()), state="Complete").status
    kept = see(chosen=make_chosen(ONE), status=over, attempts=attempts(found), children=children(found))
    assert (run(kept).actions, run(kept).again) == ((), None)
    limited = replace(kept, job=make_cluster_job(ttlSecondsAfterFinished=60))
    assert run(limited).actions == ()
    assert run(limited).again == timedelta(seconds=60)
    later_on = run(replace(limited, now=kept.now + timedelta(seconds=60)))
    assert [a.kind for a in later_on.actions if isinstance(a, Delete)] == ["Job", "ConfigMap"]
    assert later_on.status == over


def test_a_pass_that_sees_nothing_new_says_nothing_new() -> None:
    for world in (
        see(),
        see(facts=make_inspection()),
        see(job=None, problem="no"),
        see(chosen=make_chosen(ONE), suspended=True),
        see(chosen=make_chosen(ONE), attempts=attempts(make_job(running()))),
    ):
        first = run(world)
        again = run(later(world, first.status, now=world.now + timedelta(seconds=7)))
        assert again.status == first.status
