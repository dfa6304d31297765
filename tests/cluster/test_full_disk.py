"""A disk that is really full: a small one in memory, which needs root to be mounted."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finetune_operator.api.spec import Method
from finetune_trainer.events import CheckpointEvent, FailureEvent, ResultEvent, ResumeEvent, parse_event
from finetune_trainer.exit_codes import ExitCode
from tests.support import tiny_model
from tests.support.training_jobs import TinyJob, render, tiny_plan, write_data


@contextmanager
def disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of that size in a folder."""
    folder.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["/bin/umount", str(folder)], check=True)


def launch(job: TinyJob) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "finetune_trainer.launch", str(job.job_file)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_what_fills_the_disk_ends_with_its_code_and_goes_on_where_there_is_space(tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    making = (
        f"from pathlib import Path; from {tiny_model.__name__} import write_model; write_model(Path({str(model)!r}))"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", making], check=True, capture_output=True)
    write_data(tmp_path, train=24, held_out=2)
    training = {"epochs": "3", "batchSize": 8, "checkpoint": {"everySteps": 3, "keep": 2}}
    job = render(tmp_path, model, tiny_plan(Method.FULL, 8), training=training, adapter={})
    # a checkpoint takes some 1.5 MB: the first one fits, the second doesn't
    with disk(job.output, "2560k"):
        full = launch(job)
        events = [e for line in full.stdout.splitlines() if (e := parse_event(line)) is not None]
        assert full.returncode == ExitCode.STORAGE_FULL, full.stderr[-3000:]
        (failure,) = [e for e in events if isinstance(e, FailureEvent)]
        assert "no space left" in failure.message
        saved = [e.step for e in events if isinstance(e, CheckpointEvent)]
        subprocess.run(["/bin/mount", "-o", "remount,size=64m", str(job.output)], check=True)
        again = launch(job)
        events = [e for line in again.stdout.splitlines() if (e := parse_event(line)) is not None]
        assert again.returncode == 0, again.stderr[-3000:]
        assert [e.step for e in events if isinstance(e, ResumeEvent)] == saved == [3]
        assert any(isinstance(e, ResultEvent) for e in events)
