"""Checks files of rows without torch: `python -m finetune_trainer.data.check < request.json`, events out."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from finetune_trainer.data.check.checked_file import Role, Task
from finetune_trainer.data.check.report import report_on
from finetune_trainer.data.load import labels
from finetune_trainer.data.readers import PACKED, is_lines
from finetune_trainer.data.readers import check_file as check_readable
from finetune_trainer.events import PhaseEvent
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.failures import exit_code_of
from finetune_trainer.job_config import JsonContractConfig, RowFormat, StrictModel
from finetune_trainer.progress import emit


class CheckRequest(StrictModel):
    """What to check."""

    train: Annotated[tuple[str, ...], Field(min_length=1)]
    """Paths."""
    evaluation: str | None
    format: RowFormat
    max_length: Annotated[int, Field(ge=1)] | None
    model_path: str | None
    """A folder with a tokenizer."""
    contract: JsonContractConfig | None
    unique_input: bool
    """Whether a row with an earlier one's input is a bad one."""


def check(request: CheckRequest) -> None:
    """Check, saying how far it is, and what came out.

    Raises:
        TrainerError: a file, the model or the contract can't be used.
    """
    tasks = list(_tasks(request))
    total, done = _size(tasks), 0

    def tell(task: Task, size: int) -> None:
        nonlocal done
        done += size
        emit(PhaseEvent(phase="data", message=f"checking {task.label}", done=done if total else 0, total=total))

    emit(report_on(tasks, request.max_length, tell, unique_input=request.unique_input))


def main() -> int:
    """Check as standard input says; the exit code."""
    return exit_code_of(lambda: check(_read_request(sys.stdin.buffer.read())))


def _tasks(request: CheckRequest) -> Sequence[Task]:
    paths = (*request.train, *([request.evaluation] if request.evaluation is not None else []))
    seen: set[Path] = set()
    for path in map(Path, paths):
        if path.resolve() in seen:
            raise TrainerError(ExitCode.DATA, f"{path}: is named twice; name every file once")
        seen.add(path.resolve())
        check_readable(path)
    label = labels(paths)
    roles: dict[str, Role] = {request.evaluation: "evaluation"} if request.evaluation is not None else {}
    return [
        Task(
            path=Path(path),
            label=label[path],
            role=roles.get(path, "train"),
            format=request.format,
            contract=request.contract,
            model=request.model_path,
        )
        for path in paths
    ]


def _size(tasks: Sequence[Task]) -> int:
    """Bytes that will be told of; 0 where that isn't known."""
    known = all(is_lines(t.path) and t.path.suffix.lower() != PACKED for t in tasks)
    return sum(t.path.stat().st_size for t in tasks) if known else 0


def _read_request(text: bytes) -> CheckRequest:
    try:
        return CheckRequest.model_validate_json(text)
    except ValueError as e:
        raise TrainerError(ExitCode.CONFIGURATION, f"the request is wrong: {e}") from e


if __name__ == "__main__":
    sys.exit(main())
