"""Peak memory of the trainer's own evaluation, counted by torch on real tensors of small models: `python -m … FILE`.

Every tensor that the evaluation's code makes is counted from the operator that makes it to the moment when nothing
refers to it any more; what a kernel takes inside of one operator isn't.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from finetune_operator.api.spec import Method
from finetune_trainer.data.batches import shape_of
from finetune_trainer.data.examples import Example
from finetune_trainer.evaluation import Evaluator
from finetune_trainer.interrupts import StopFlag
from tests.support.evaluation_cases import CASES, Case
from tests.support.oracle_tracker import LiveBytes


def measure(case: Case) -> dict[str, int]:
    """Allocated bytes of one evaluation, of them the weights, and the largest batches of its rows."""
    torch.manual_seed(7)
    model = _adapted(case, _base(case.config))
    live = LiveBytes(lambda *_: 0)
    live.add([*model.parameters(), *model.buffers()])
    weights = live.current
    rows = _rows(case)
    evaluator = Evaluator(rows, (1,), 2, StopFlag())
    with live:
        evaluator.evaluate(model, str, "tuned", None, lambda *_: None)
    return {"weights": weights, "peak": live.peak, **shape_of(rows).model_dump()}


def _base(config: Mapping[str, Any]) -> Any:
    fields = dict(config)
    made = AutoConfig.for_model(fields.pop("model_type"), **fields)
    loader: Any = AutoModelForCausalLM
    attention = "sdpa" if loader._model_mapping[type(made)]._supports_sdpa else "eager"
    return loader.from_config(made, dtype=torch.bfloat16, attn_implementation=attention)


def _adapted(case: Case, base: Any) -> Any:
    """As the trainer loads a result: PEFT's adapters beside 16-bit weights."""
    if case.method is Method.FULL:
        return base
    head = base.get_output_embeddings()
    linears = [n for n, m in base.named_modules() if isinstance(m, nn.Linear | Conv1D) and m is not head]
    names = sorted({n.rsplit(".", 1)[-1] for n in linears})
    dora = case.method is Method.DORA
    return get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=case.rank, target_modules=names, use_dora=dora))


def _rows(case: Case) -> list[Example]:
    """Rows of which the first is the longest, and its answer too."""
    return [_row(n, max(1, case.prompt - 7 * n), max(2, case.answer - 3 * n)) for n in range(case.rows)]


def _row(number: int, prompt: int, answer: int) -> Example:
    ids = tuple(3 + (number + 5 * i) % 90 for i in range(prompt + answer))
    return Example(
        file="check.jsonl",
        line=number + 1,
        input_ids=ids,
        answer_mask=(False,) * prompt + (True,) * answer,
        prompt="",
        prompt_ids=ids[:prompt],
        reference="",
    )


def main() -> None:
    """Measure every case; write one JSON object to the file that is named, by their ids."""
    torch.set_num_threads(1)
    found = {name: measure(case) for name, case in CASES.items()}
    Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
