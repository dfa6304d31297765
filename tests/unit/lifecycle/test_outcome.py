"""How an attempt ended: the first cause wins, and what the cluster did isn't the job's fault."""

from datetime import timedelta

import pytest

from finetune_operator.lifecycle.outcome import OTHERS, outcome_of
from finetune_trainer.exit_codes import ExitCode, NextAction
from tests.unit.lifecycle.pods import (
    BEGAN,
    RESULT,
    disrupted,
    ended,
    failure,
    make_job,
    make_pod,
    running,
    stamp,
    success,
)

NOW = BEGAN + timedelta(seconds=110)


def test_a_run_that_goes_on_has_no_outcome() -> None:
    assert outcome_of(make_job(running(0), running(1)), (), NOW) is None
    assert outcome_of(make_job(), (), NOW) is None


def test_a_complete_job_ends_with_the_result_that_its_pod_left() -> None:
    outcome = outcome_of(make_job(ended(0, 0, said=success()), state="Complete"), (), NOW)
    assert outcome is not None
    assert (outcome.reason, outcome.code, outcome.result) == ("Completed", 0, RESULT)
    assert outcome.at == BEGAN + timedelta(seconds=100)


def test_a_result_that_only_the_log_has_is_taken_from_there() -> None:
    outcome = outcome_of(make_job(ended(0, 0), state="Complete"), (RESULT,), NOW)
    assert outcome is not None
    assert outcome.result == RESULT


def test_of_a_result_that_is_told_twice_the_longer_one_counts() -> None:
    whole = RESULT.model_copy(update={"tuned": {"loss": 2.0, "field:a": 1.0}})
    outcome = outcome_of(make_job(ended(0, 0, said=success()), state="Complete"), (whole,), NOW)
    assert outcome is not None
    assert outcome.result == whole


def test_a_complete_job_without_a_result_is_a_fault() -> None:
    outcome = outcome_of(make_job(ended(0, 0), state="Complete"), (), NOW)
    assert outcome is not None
    assert (outcome.code, outcome.result) == (ExitCode.INTERNAL, None)


def test_the_echo_of_a_lost_rank_isn_t_the_cause() -> None:
    pods = (
        ended(0, ExitCode.RANK_LOST, at=90, said=failure(24, "another rank is gone")),
        ended(1, ExitCode.OUT_OF_MEMORY, at=95, said=failure(20, "not enough")),
    )
    outcome = outcome_of(make_job(*pods, state="Failed"), (), NOW)
    assert outcome is not None
    assert (outcome.reason, outcome.message, outcome.next_action) == ("OutOfMemory", "not enough", NextAction.FAIL)


def test_the_others_are_waited_for_and_not_for_ever() -> None:
    job = make_job(ended(0, ExitCode.RANK_LOST, at=100), running(1))
    assert outcome_of(job, (), NOW) is None
    late = outcome_of(job, (), BEGAN + timedelta(seconds=100) + OTHERS)
    assert late is not None
    assert late.reason == "RankLost"


def test_one_rank_that_ended_well_before_the_others_is_no_end() -> None:
    assert outcome_of(make_job(ended(0, 0), running(1)), (), BEGAN + timedelta(days=1)) is None


@pytest.mark.parametrize("reason", ["Evicted", "Preempted"])
def test_what_the_cluster_ends_doesn_t_count(reason: str) -> None:
    outcome = outcome_of(make_job(make_pod(phase="Failed", **disrupted(reason)), state="Failed"), (), NOW)
    assert outcome is not None
    assert (outcome.reason, outcome.counted, outcome.next_action) == ("Disrupted", False, NextAction.RETRY)
    assert reason in outcome.message


def test_memory_that_the_kubelet_refused_is_told() -> None:
    outcome = outcome_of(make_job(ended(0, 137, reason="OOMKilled"), state="Failed"), (), NOW)
    assert outcome is not None
    assert outcome.reason == "HostOutOfMemory"
    assert "node n1" in outcome.message


def test_a_pod_that_somebody_deleted_and_that_was_killed_lacked_no_memory() -> None:
    pod = ended(0, 137)
    pod["metadata"]["deletionTimestamp"] = stamp(100)
    outcome = outcome_of(make_job(pod, state="Failed"), (), NOW)
    assert outcome is not None
    assert (outcome.reason, outcome.counted, outcome.next_action) == ("PodFailed", True, NextAction.RETRY)
    assert "was deleted" in outcome.message


def test_a_pod_that_was_killed_for_another_reason_than_its_memory_is_tried_again() -> None:
    outcome = outcome_of(make_job(ended(0, 137), state="Failed"), (), NOW)
    assert outcome is not None
    assert (outcome.reason, outcome.next_action) == ("PodFailed", NextAction.RETRY)
    assert "not for the memory that it asked for" in outcome.message


def test_a_code_without_words_keeps_its_meaning() -> None:
    outcome = outcome_of(make_job(ended(0, ExitCode.DATA), state="Failed"), (), NOW)
    assert outcome is not None
    assert (outcome.reason, outcome.next_action) == ("DataError", NextAction.FAIL)


def test_a_code_that_isn_t_ours_is_an_internal_error() -> None:
    outcome = outcome_of(make_job(ended(0, 3), state="Failed"), (), NOW)
    assert outcome is not None
    assert (outcome.reason, outcome.code) == ("InternalError", ExitCode.INTERNAL)
    assert "code 3" in outcome.message


def test_a_failed_job_whose_pods_are_gone_is_tried_again() -> None:
    outcome = outcome_of(make_job(state="Failed"), (), NOW)
    assert outcome is not None
    assert (outcome.reason, outcome.counted, outcome.next_action) == ("PodLost", True, NextAction.RETRY)
    assert "an index failed" in outcome.message


@pytest.mark.parametrize("state", ["Complete", "Failed"])
def test_a_job_that_is_told_over_before_its_pods_are_waits_for_them(state: str) -> None:
    job = make_job(running(0), state=state)
    assert outcome_of(job, (), NOW) is None
    late = outcome_of(job, (), BEGAN + timedelta(seconds=100) + OTHERS)
    assert late is not None


def test_a_pod_whose_node_is_gone_is_given_up_when_its_grace_is_over() -> None:
    pod = make_pod(conditions=[{"type": "DisruptionTarget", "status": "True"}])
    pod["metadata"]["deletionTimestamp"] = stamp(300)
    assert outcome_of(make_job(pod), (), NOW) is None
    outcome = outcome_of(make_job(pod), (), BEGAN + timedelta(seconds=300) + OTHERS)
    assert outcome is not None
    assert (outcome.reason, outcome.counted) == ("Disrupted", False)


def test_a_pod_that_its_node_refused_counts() -> None:
    refused = make_pod(phase="Failed", reason="UnexpectedAdmissionError", message="no device")
    outcome = outcome_of(make_job(refused, state="Failed"), (), NOW)
    assert outcome is not None
    assert (outcome.reason, outcome.counted) == ("PodFailed", True)
