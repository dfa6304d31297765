"""A checkpoint that was damaged is passed over for the one before it, and that is said."""

import shutil
from pathlib import Path

import pytest

from finetune_trainer.checkpoints import at
from finetune_trainer.events import ResumeEvent, WarningEvent
from tests.support.trainer_process import run_ranks
from tests.support.training_jobs import TinyJob
from tests.training.conftest import free_port
from tests.training.test_kill_points import prepare
from tests.training.test_ranks import digest

pytestmark = pytest.mark.usefixtures("stack")


def damage(checkpoint: Path) -> str:
    """Change a byte in the midst of a rank's optimizer state; the file's name."""
    path = next(checkpoint.rglob("*zero_pp_rank_1_*optim_states.pt"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return str(path.relative_to(checkpoint))


def give(checkpoints: Path, job: TinyJob) -> Path:
    """The first two of three checkpoints, as if training had ended there."""
    root = job.output / "checkpoints"
    for step in (3, 6):
        shutil.copytree(at(checkpoints, step), at(root, step))
    return root


def test_the_one_before_is_used_and_said(tiny: Path, tmp_path: Path) -> None:
    whole, damaged = (prepare(tmp_path / name, tiny, 2, 2) for name in ("whole", "damaged"))
    assert run_ranks([whole.job_file] * 2, free_port()).code == 0
    root = give(whole.output / "checkpoints", damaged)
    name = damage(at(root, 6))
    outcome = run_ranks([damaged.job_file] * 2, free_port())
    assert outcome.code == 0, outcome.output[-4000:]
    said = [w.message for w in outcome.of(WarningEvent)]
    assert f"checkpoint-6 has a damaged {name}; going on from checkpoint-3" in said
    assert [e.step for e in outcome.of(ResumeEvent)] == [3]
    assert digest(damaged) == digest(whole)
