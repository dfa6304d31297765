"""Reads model and data without torch: `python -m finetune_trainer.inspection < request.json`, one event line out.

With `--config FILE` the request is in a file, as in a pod, and every bad row is told on standard error.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from finetune_trainer.data.batches import shape_of
from finetune_trainer.data.load import audit, hold_vocabulary, load_data
from finetune_trainer.data.rows import BadRowsError
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.events import InspectionFacts, RowFault
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.failures import exit_code_of
from finetune_trainer.fetch import fetched_commit
from finetune_trainer.job_config import AdapterConfig, DataConfig, Method, Objective, ParentConfig, StrictModel
from finetune_trainer.model_files import check_model
from finetune_trainer.parent import check_parent
from finetune_trainer.progress import emit
from finetune_trainer.termination import MAX_BYTES, last_word

MAX_LOGGED: Final = 10_000
"""Bad rows that are told: a kubelet keeps 10 MiB of a log."""


class AskedParent(StrictModel):
    """An adapter to go on from, and what the job says of it."""

    parent: ParentConfig
    method: Method
    objective: Objective
    adapter: AdapterConfig


class InspectionRequest(StrictModel):
    """What to read."""

    model_path: str
    weights: bool
    """False where only config and tokenizer are there, which is enough to plan: weights aren't looked for then."""
    data: DataConfig
    parent: AskedParent | None = None
    """An adapter to go on from."""


def inspect(request: InspectionRequest, *, log_faults: bool = False) -> InspectionFacts:
    """Facts of model and data.

    Args:
        request: what to read.
        log_faults: tell every bad row on standard error, also where there are too many of them.

    Raises:
        TrainerError: MODEL or DATA, with the place and what to do.
    """
    folder = Path(request.model_path)
    config, weight_bytes = check_model(folder, weights=request.weights)
    if request.parent is not None:
        asked = request.parent
        check_parent(asked.parent, asked.method, asked.objective, asked.adapter)
    tokenizer = TextTokenizer.load(folder)
    try:
        data = load_data(request.data, tokenizer)
    except BadRowsError as e:
        if log_faults:
            _log(e.faults)
        raise
    if log_faults:
        _log(data.faults)
    audit((*data.train, *data.evaluation), tokenizer)
    hold_vocabulary((*data.train, *data.evaluation), tokenizer, config)
    return InspectionFacts(
        model_config_json=json.dumps(config),
        weight_bytes=weight_bytes,
        train=data.train_facts,
        evaluation=data.evaluation_facts,
        evaluated=shape_of(data.evaluation),
        commit=fetched_commit(folder),
    )


def main(arguments: Sequence[str] = ()) -> int:
    """Inspect as a file or standard input says; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune_trainer.inspection")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the request; absent: standard input")
    asked = parser.parse_args(arguments)
    if asked.config is None:
        return exit_code_of(lambda: emit(inspect(_read_request(sys.stdin.buffer.read()))))
    return exit_code_of(lambda: _inspect_for_a_pod(asked.config))


def _inspect_for_a_pod(config: Path) -> None:
    try:
        text = config.read_bytes()
    except OSError as e:
        raise TrainerError(ExitCode.CONFIGURATION, f"{config}: can't be read: {e.strerror}") from e
    facts = inspect(_read_request(text), log_faults=True)
    if last_word(facts) is None:
        raise TrainerError(
            ExitCode.MODEL,
            f"config.json has {len(facts.model_config_json)} characters, and what is planned by of it doesn't fit the "
            f"{MAX_BYTES} bytes of a pod's last word; remove from it what isn't the model's own",
        )
    emit(facts)


def _log(faults: Sequence[RowFault]) -> None:
    for fault in faults[:MAX_LOGGED]:
        sys.stderr.write(f"{fault.file}:{fault.line}: {fault.message}\n")
    if len(faults) > MAX_LOGGED:
        sys.stderr.write(f"and {len(faults) - MAX_LOGGED} more\n")


def _read_request(text: bytes) -> InspectionRequest:
    try:
        return InspectionRequest.model_validate_json(text)
    except ValueError as e:
        raise TrainerError(ExitCode.CONFIGURATION, f"the inspection request is wrong: {e}") from e


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
