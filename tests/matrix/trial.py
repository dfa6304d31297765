"""One cell, tried for real: trained on a tiny model, or refused by whoever refuses it for a user."""

from pathlib import Path
from typing import Any, Final, NamedTuple

from finetune_operator.api.spec import WEIGHED, DataFormat, Method, Objective, PrecisionChoice
from finetune_operator.api.surroundings import untrained
from finetune_operator.exceptions import InfeasibleError, UnknownOptionError
from finetune_operator.lifecycle.selection import pick
from finetune_operator.planner.naming import strategy_name
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.planner import plan
from finetune_trainer.events import EvaluationEvent, FailureEvent, HeldOutEvent, StepEvent
from finetune_trainer.exit_codes import ExitCode
from tests.matrix.cells import Cell
from tests.support.judged_losses import BETA, judged_loss
from tests.support.trainer_process import Outcome, run_ranks
from tests.support.training_jobs import TinyJob, answer, question, render, row, tiny_plan, write_rows
from tests.training.conftest import free_port
from tests.training.test_ranks import divide
from tests.unit.planner.builders import make_capacity, make_cpu, make_facts, make_gpus, make_spec

ROWS: Final = 24
BATCH: Final = 8
JUDGING: Final = ("preference-accuracy", "reward-accuracy")
"""What answers are judged by; shares that are to grow."""

EXACT: Final = {PrecisionChoice.FP32: 1e-4, PrecisionChoice.BF16: 2e-2}
"""Relative difference of a loss between the weights that were trained and those that are read from the disk."""


class Verdict(NamedTuple):
    """What became of a cell."""

    trained: bool
    sentence: str
    """Who refuses it and why, or what is wrong; empty where it was trained."""
    refused: bool = False


def try_cell(cell: Cell, folder: Path, tiny: Path) -> Verdict:
    """Train it, or have it refused."""
    sentence = _refused_by_operator(cell)
    if sentence:
        return Verdict(trained=False, sentence=sentence, refused=True)
    job = prepare(cell, folder, tiny)
    outcome = run_ranks([job.job_file] * cell.ranks, free_port())
    failures = outcome.of(FailureEvent)
    if failures and failures[0].code not in {ExitCode.INTERNAL, ExitCode.RANK_LOST}:
        return Verdict(trained=False, sentence=f"the trainer: {_plain(failures[0].message, folder)}", refused=True)
    wrong = what_is_wrong(cell, outcome, job.output)
    return Verdict(trained=not wrong, sentence=wrong)


def _plain(message: str, folder: Path) -> str:
    return message.replace(f"{folder}/", "").replace("|", "/")


def what_is_wrong(cell: Cell, outcome: Outcome, output: Path) -> str:
    """What a training didn't do that it should have; empty if it did."""
    if outcome.code:
        return f"ended with {outcome.code}: {outcome.output[-2000:]}"
    steps, held_out = outcome.of(StepEvent), outcome.of(HeldOutEvent)
    before, after = outcome.of(EvaluationEvent)
    # the same rows once an epoch
    epoch = len(steps) // 3
    first, last = (sum(s.loss for s in part) / epoch for part in (steps[:epoch], steps[-epoch:]))
    if not last < first:
        return f"the loss went from {first} to {last}"
    if before.metrics == after.metrics:
        return "the model says what it said before"
    if any(after.metrics.get(name, 0) < before.metrics.get(name, 0) for name in JUDGING):
        return f"it prefers the right answer less often: {before.metrics}, {after.metrics}"
    sft = cell.objective is Objective.SFT
    reloaded = after.metrics["loss"] if sft else judged_loss(cell.objective, output)
    if abs(held_out[-1].loss / reloaded - 1) > EXACT[cell.precision]:
        return f"what was trained has a loss of {held_out[-1].loss}, what was reloaded one of {reloaded}"
    return ""


def _refused_by_operator(cell: Cell) -> str:
    """Why nobody gets as far as training it; empty where they do."""
    spec = make_spec(
        method=cell.method, objective=cell.objective, training={"precision": cell.precision, "batchSize": BATCH}
    )
    found = next(untrained(spec), None)
    if found is not None:
        _, sentence = found
        return f"the job: {sentence}"
    if cell.precision is PrecisionChoice.FP16:
        asked, capacity = f"{strategy_name(cell.method, 0, cell.offloaded)}-cpu", make_capacity(make_cpu(64))
    elif cell.offload and cell.stage < 2:
        name = f"{cell.method.value.lower()}-z{cell.stage}-offload"
        asked, capacity = f"{name}-2x80g", make_capacity(make_gpus(devices=2))
    else:
        return ""
    try:
        pick(plan(spec, make_facts("HuggingFaceTB/SmolLM2-135M-Instruct"), capacity), asked, "this machine")
    except (InfeasibleError, UnknownOptionError) as e:
        return f"the plan: {e}"
    return ""


def prepare(cell: Cell, folder: Path, tiny: Path) -> TinyJob:
    """The cell as a rendered job."""
    folder.mkdir(parents=True)
    write_rows(folder / "train.jsonl", [_row_of(cell, i) for i in range(ROWS)])
    write_rows(folder / "check.jsonl", [_row_of(cell, 1000 + i, held_out=True) for i in range(2)])
    training: dict[str, Any] = {
        "epochs": "3",
        "batchSize": BATCH,
        "checkpoint": {"everySteps": 5},
        "evaluate": {"everySteps": 9},
        "optimizer": cell.optimizer,
    }
    spec: dict[str, Any] = {"training": training, "objective": cell.objective}
    if cell.method is not Method.FULL:
        # either way it counts about four times
        alpha = 12 if cell.stabilized else 32
        spec["adapter"] = {"rank": 8, "alpha": alpha, "rankStabilized": cell.stabilized, "dropout": "0"}
    if cell.objective in WEIGHED:
        spec["preference"] = {"beta": str(BETA)}
    chosen = tiny_plan(
        cell.method,
        8,
        objective=cell.objective,
        zero_stage=cell.stage,
        offload=cell.offloaded,
        micro_batch=BATCH // cell.ranks,
        precision=PrecisionUsed(cell.precision.value),
        learning_rate="2e-3" if cell.method is Method.FULL else "1e-2",
    )
    job = render(folder, tiny, chosen, **spec)
    return divide(job, cell.stage) if cell.ranks == 2 else job


def _row_of(cell: Cell, index: int, *, held_out: bool = False) -> dict[str, Any]:
    made = make_row(cell.row_format, index, held_out=held_out)
    if cell.objective is Objective.REWARD and cell.row_format is DataFormat.PREFERENCE:
        # on random weights a score tells forms of answers apart sooner than colours
        made["rejected"] = [{"role": "assistant", "content": "I don't know."}]
    return made


def make_row(row_format: DataFormat, index: int, *, held_out: bool = False) -> dict[str, Any]:
    """A row of any format."""
    asked = [{"role": "user", "content": question(index)}]
    right, wrong = ([{"role": "assistant", "content": answer(i)}] for i in (index, index + 1))
    match row_format:
        case DataFormat.SHAREGPT:
            turns = [{"from": "human", "value": question(index)}, {"from": "gpt", "value": answer(index)}]
            return {"conversations": turns}
        case DataFormat.PREFERENCE:
            return {"prompt": asked, "chosen": right, "rejected": wrong}
        case DataFormat.UNPAIRED:
            # not in step with the colours, which alternate
            wanted = index % 4 < 2
            return {"prompt": asked, "completion": right if wanted else wrong, "label": wanted}
        case _:
            return row(row_format.value, index, held_out=held_out)
