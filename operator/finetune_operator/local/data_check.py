"""Files of rows, checked by the trainer's own code in a child process."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_operator.exceptions import DatasetInvalidError
from finetune_operator.local.children import converse, module_command
from finetune_trainer.events import DataReport, Event, PhaseEvent
from finetune_trainer.job_config import JsonContractConfig, RowFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class DataQuestion:
    """What to check, and by what."""

    train: Sequence[Path]
    evaluation: Path | None
    format: RowFormat
    max_length: int | None
    """Tokens; None: any length will do."""
    model: Path | None
    """A folder with a tokenizer; None: tokens are characters / 4."""
    contract: JsonContractConfig | None
    unique_input: bool


def check_data(question: DataQuestion, tell: Callable[[PhaseEvent], None]) -> DataReport:
    """Check the files; `tell` hears how far it is.

    Raises:
        FineTuneError: a file, the model or the contract can't be used.
    """
    request = {
        "train": [str(path) for path in question.train],
        "evaluation": str(question.evaluation) if question.evaluation is not None else None,
        "format": question.format.value,
        "max_length": question.max_length,
        "model_path": str(question.model) if question.model is not None else None,
        "unique_input": question.unique_input,
        "contract": question.contract.model_dump(mode="json") if question.contract is not None else None,
    }
    found: list[DataReport] = []

    def keep(event: Event) -> None:
        if isinstance(event, DataReport):
            found.append(event)
        elif isinstance(event, PhaseEvent):
            tell(event)

    converse(module_command("finetune_trainer.data.check"), json.dumps(request), keep)
    if not found:
        raise DatasetInvalidError(f"{question.train[0]}: the check ended without an answer")
    return found[0]
