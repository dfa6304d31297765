"""Reads model and data without torch: `python -m finetune_trainer.inspection < request.json`, one event line out."""

import json
import sys
from pathlib import Path

from finetune_trainer.data.load import audit, load_data
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.events import InspectionFacts
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.failures import exit_code_of
from finetune_trainer.job_config import DataConfig, StrictModel
from finetune_trainer.model_files import check_model
from finetune_trainer.progress import emit


class InspectionRequest(StrictModel):
    """What to read."""

    model_path: str
    weights: bool
    """False where only config and tokenizer are there, which is enough to plan: weights aren't looked for then."""
    data: DataConfig


def inspect(request: InspectionRequest) -> InspectionFacts:
    """Facts of model and data.

    Raises:
        TrainerError: MODEL or DATA, with the place and what to do.
    """
    folder = Path(request.model_path)
    config, weight_bytes = check_model(folder, weights=request.weights)
    tokenizer = TextTokenizer.load(folder)
    data = load_data(request.data, tokenizer)
    audit((*data.train, *data.evaluation), tokenizer)
    return InspectionFacts(
        model_config_json=json.dumps(config),
        weight_bytes=weight_bytes,
        train=data.train_facts,
        evaluation=data.evaluation_facts,
    )


def main() -> int:
    """Inspect as standard input says; the exit code."""
    return exit_code_of(lambda: emit(inspect(_read_request(sys.stdin.buffer.read()))))


def _read_request(text: bytes) -> InspectionRequest:
    try:
        return InspectionRequest.model_validate_json(text)
    except ValueError as e:
        raise TrainerError(ExitCode.CONFIGURATION, f"the inspection request is wrong: {e}") from e


if __name__ == "__main__":
    sys.exit(main())
