"""Evaluates a tiny model with an adapter, whole and divided: `python -m … FOLDER DTYPE FILE` as each of two ranks.

A program of its own: the tests' process must not touch a tensor before it forks.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from finetune_trainer.data import batches
from finetune_trainer.data.examples import Example, build_example
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.distributed import prepare_deepspeed
from finetune_trainer.division import Division, innermost
from finetune_trainer.evaluation import Evaluator
from finetune_trainer.evidence import Evaluation
from finetune_trainer.interrupts import StopFlag
from finetune_trainer.job_config import WorldConfig
from finetune_trainer.modeling import load_model
from finetune_trainer.objectives.log_probs import log_probs
from finetune_trainer.ranks import ALONE, Ranks, join
from tests.training.evaluate_tiny import ASKING, TEXTS, greedy, limit_of

LIVE: Final = 30_000
"""Weights that may be put together at a time: less than a third of the tiny model's."""


def main() -> None:
    """Write what this rank has found."""
    folder, dtype = Path(sys.argv[1]), getattr(torch, sys.argv[2])
    torch.set_num_threads(1)
    prepare_deepspeed(WorldConfig(nodes=1, devices_per_node=2, accelerator="CPU"))
    ranks, stop = join(), StopFlag()
    tokenizer = TextTokenizer.load(folder)
    model = adapted(load_model(folder, dtype))
    inner = innermost(model)
    # an odd number of batches: one rank runs out of them
    contents = ASKING[:3] + TEXTS
    examples = [build_example(c, tokenizer, "check.jsonl", n) for n, c in enumerate(contents, start=1)]
    unbounded = greedy(inner, examples[2], limit_of(examples), ())
    # a random model repeats itself: what it changes over to is made a stop token, so that answers end early
    stops = (*tokenizer.stop_token_ids, next(t for t in unbounded if t != unbounded[0]))
    batches.ROWS_A_BATCH = 1  # type: ignore[misc]  # a batch for every row
    total = sum(p.numel() for p in model.parameters())
    whole, seconds_whole = timed(inner, examples, stops, stop, ALONE)
    division = Division(model, deepspeed_of(dtype), torch.device("cpu"), stop, ranks)
    parts = sum(p.ds_tensor.numel() for p in model.parameters())
    most, watching = watch(inner)
    divided, seconds_divided = timed(inner, examples, stops, stop, ranks)
    for hook in watching:
        hook.remove()
    division.leave(torch.float32)
    left = [n for n, p in model.named_parameters() if p.numel() and p.numel() == p.ds_numel]
    facts = {
        "whole": whole,
        "divided": divided,
        "seconds": [seconds_whole, seconds_divided],
        "total": total,
        "parts": parts,
        "most": max(most),
        "left": left,
        "hooks": sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules()),
        "trained": sorted({str(p.ds_tensor.dtype) for p in model.parameters() if p.requires_grad}),
    }
    # the libraries write to the streams as they like
    Path(sys.argv[3]).write_text(json.dumps(facts), encoding="utf-8")


def adapted(base: Any) -> Any:
    """With an adapter that says something."""
    torch.manual_seed(3)
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.2)
    return model


def deepspeed_of(dtype: torch.dtype) -> dict[str, Any]:
    """ZeRO-3 that keeps little together."""
    return {
        "train_batch_size": 2,
        "train_micro_batch_size_per_gpu": 1,
        "bf16": {"enabled": dtype is torch.bfloat16},
        "zero_optimization": {
            "stage": 3,
            "overlap_comm": True,
            "stage3_prefetch_bucket_size": 4_000,
            "stage3_max_live_parameters": LIVE,
            "stage3_max_reuse_distance": LIVE,
            "stage3_param_persistence_threshold": 100,
        },
    }


def watch(inner: nn.Module) -> tuple[list[int], list[Any]]:
    """Numbers of weights that this rank has put together whenever a module computes, to be filled; and what does so."""
    most = [0]
    parameters = list(inner.parameters())

    def look(*passed: Any) -> None:
        del passed
        most.append(sum(p.numel() for p in parameters))

    leaves = [module for module in inner.modules() if not list(module.children())]
    return most, [module.register_forward_pre_hook(look) for module in leaves]


def timed(
    model: Any, examples: list[Example], stops: tuple[int, ...], stop: StopFlag, ranks: Ranks
) -> tuple[dict[str, Any], float]:
    """The product's metrics, answers and log-probabilities; and the seconds that they took."""
    began = time.monotonic()
    evaluator = Evaluator(examples, stops, 0, stop, ranks)
    found: Evaluation = evaluator.evaluate(model, json.dumps, "baseline", None, lambda *_: None)
    sequences = [(e.input_ids, e.answer_mask) for e in examples]
    judged = log_probs(model, sequences, 0, stop, ranks, lambda *_: None)
    facts = {
        "metrics": found.metrics,
        "answers": {a.line: json.loads(a.output) for a in found.answers},
        "log_probs": judged,
    }
    return facts, time.monotonic() - began


if __name__ == "__main__":
    main()
