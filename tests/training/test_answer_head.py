"""The loss on answers alone is the loss with all logits, and so are its gradients."""

import json
import subprocess
import sys
from typing import Any

import pytest

CODE = """
import json, sys
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from finetune_trainer import answer_head

def compare(case):
    torch.manual_seed(3)
    answer_head.TOKENS_AT_A_TIME = case["at_a_time"]
    config = AutoConfig.for_model("llama", **case["config"])
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, case["dtype"]))
    model.get_output_embeddings().weight.requires_grad_(case["trained"])
    ids = torch.randint(0, 320, (3, 24))
    labels = ids.clone()
    labels[0, :9] = labels[1, :23] = labels[2] = labels[0, 20:] = answer_head.IGNORED

    def slopes(total):
        model.zero_grad()
        (0.25 * total).backward()
        return [float(total)] + [p.grad.float().norm().item() for p in model.parameters() if p.grad is not None]

    logits = model(input_ids=ids).logits[:, :-1].float().flatten(0, 1)
    whole = slopes(nn.functional.cross_entropy(logits, labels[:, 1:].flatten(), reduction="sum"))
    before = model.forward
    model.forward = lambda *a, fused_lm_head, labels, **k: before(*a, **k)
    answer_head.learn_from_answers(model)
    alone = slopes(model.forward(input_ids=ids, labels=labels, fused_lm_head=True))
    labels[:] = answer_head.IGNORED
    nothing = slopes(model.forward(input_ids=ids, labels=labels, fused_lm_head=True))
    return [whole, alone, nothing, answer_head.has_plain_head(model)]

print(json.dumps({name: compare(case) for name, case in json.loads(sys.argv[1]).items()}))
"""

CONFIG: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 320,
}


PLAIN: dict[str, Any] = {"config": CONFIG, "dtype": "float32", "trained": True, "at_a_time": 512}

EXACT: dict[str, dict[str, Any]] = {
    "head-apart": PLAIN,
    "tied": PLAIN | {"config": CONFIG | {"tie_word_embeddings": True}},
    "frozen": PLAIN | {"trained": False},
    "piece-by-piece": PLAIN | {"at_a_time": 5},
}
CASES = EXACT | {
    "sixteen-bits": PLAIN | {"dtype": "bfloat16", "at_a_time": 5},
    "scaled": PLAIN | {"config": CONFIG | {"logits_scaling": 8.0}},
}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """By a process of its own: this one must not touch a tensor."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, json.dumps(CASES)], check=True, capture_output=True, text=True
    )
    by_name: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return by_name


@pytest.mark.parametrize("name", EXACT)
def test_answers_alone_give_the_loss_and_the_gradients_of_all_logits(name: str, found: dict[str, Any]) -> None:
    whole, alone, nothing, plain = found[name]
    assert alone == pytest.approx(whole, rel=1e-5)
    assert plain
    assert set(nothing) == {0.0}


def test_in_sixteen_bits_it_differs_by_their_rounding(found: dict[str, Any]) -> None:
    whole, alone, _, _ = found["sixteen-bits"]
    assert alone == pytest.approx(whole, rel=2e-2)


def test_a_head_whose_logits_are_changed_behind_it_is_left_alone(found: dict[str, Any]) -> None:
    assert found["scaled"][-1] is False
