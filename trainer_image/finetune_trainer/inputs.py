"""What a run reads, held against what it began with. No torch here."""

import json
from pathlib import Path

from finetune_trainer import model_files, parent
from finetune_trainer.data.files import files_of as rows_in
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.files import sha256_of, write_json
from finetune_trainer.job_config import JobConfig


def checksums(job: JobConfig) -> dict[str, str]:
    """Digests of data, base model and the adapter to go on from, by path."""
    rows = [Path(p) for source in job.data.sources for p in rows_in(source.path)]
    files = [*rows, *model_files.files_of(Path(job.model.path))]
    files += parent.files_of(job.parent) if job.parent is not None else ()
    return {str(p): sha256_of(p) for p in files}


def hold(kept: Path, now: dict[str, str]) -> None:
    """Keep the checksums for later sessions, or hold them against those that the first one kept.

    Raises:
        TrainerError: OUTPUT_CONFLICT, a file has changed, is new or is gone.
    """
    if not kept.exists():
        write_json(kept, now)
        return
    before = json.loads(kept.read_text(encoding="utf-8"))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            what, remedy = _difference(name in before, name in now)
            raise TrainerError(
                ExitCode.OUTPUT_CONFLICT,
                f"{name} {what} since this run began; {remedy}, or write another output.path",
            )


def _difference(was_there: bool, is_there: bool) -> tuple[str, str]:  # noqa: FBT001  two of a kind, in order of time
    if not was_there:
        return "has come", "move it away"
    return ("has changed", "put it back") if is_there else ("has gone", "put it back")
