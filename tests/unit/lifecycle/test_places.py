"""Where a result is, as who has the volume would say it."""

import pytest

from finetune_operator.lifecycle.places import on_volume
from finetune_operator.renderers.places import in_pod
from finetune_trainer.events import CheckpointEvent, ResultEvent
from tests.unit.lifecycle.pods import RESULT
from tests.unit.lifecycle.test_decide import make_step
from tests.unit.lifecycle.worlds import make_cluster_job


@pytest.mark.parametrize(
    ("path", "result", "checkpoint"),
    [("tickets", "tickets", "tickets/checkpoints/step-3"), (".", ".", "checkpoints/step-3"),
     ("./a//b/", "a/b", "a/b/checkpoints/step-3")],
)  # fmt: skip
def test_a_pod_s_paths_become_the_volume_s(path: str, result: str, checkpoint: str) -> None:
    job = make_cluster_job(output={"volume": {"claimName": "adapters", "path": path}})
    there = in_pod(job).places.output
    told = on_volume(RESULT.model_copy(update={"output": there, "report": f"{there}/finetune_report.md"}), job)
    assert isinstance(told, ResultEvent)
    assert told.output == result
    assert not told.report.startswith("/")
    saved = on_volume(CheckpointEvent(step=3, path=f"{there}/checkpoints/step-3"), job)
    assert isinstance(saved, CheckpointEvent)
    assert saved.path == checkpoint


def test_other_paths_and_other_events_stay() -> None:
    job = make_cluster_job()
    assert on_volume(RESULT, job) == RESULT
    assert on_volume(RESULT, None) == RESULT
    assert on_volume(make_step(3), job) == make_step(3)
    beside = CheckpointEvent(step=3, path=f"{in_pod(job).places.output}-2/x")
    assert on_volume(beside, job) == beside
