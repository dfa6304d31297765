"""Evaluates a tiny model twice, by the product and row by row in the plainest way: `python -m … FOLDER`, JSON out.

A program of its own: the tests' process must not touch a tensor before it forks.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from finetune_trainer import evaluation
from finetune_trainer.data import batches
from finetune_trainer.data.contents import Completion, Content, Conversation, Message, PlainText
from finetune_trainer.data.examples import Example, build_example
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.interrupts import StopFlag

ASKING: list[Content] = [
    Conversation((Message("user", "What color is the sky?"), Message("assistant", "blue")), 0),
    Conversation(
        (
            Message("system", "be brief"),
            Message("user", "a long question about the rose"),
            Message("assistant", "it is red"),
            Message("user", "and?"),
            Message("assistant", "green"),
        ),
        0,
    ),
    Completion("the rose?", " red"),
    Conversation((Message("user", "hi"), Message("assistant", "a" * 16)), 0),
]
TEXTS: list[Content] = [PlainText("the sky is blue"), PlainText("a much longer text about the rose and the sky")]


def main() -> None:
    """Print both results."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    tokenizer = TextTokenizer.load(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    examples = [build_example(c, tokenizer, "check.jsonl", n) for n, c in enumerate(ASKING + TEXTS, start=1)]
    limit = limit_of(examples)
    # a random model repeats itself: what it changes over to is made a stop token, so that answers end early
    unbounded = greedy(model, examples[2], limit, ())
    stops = (*tokenizer.stop_token_ids, next(t for t in unbounded if t != unbounded[0]))
    # the least convenient padding, and a common one: a token that stands in every prompt
    pad = tokenizer.stop_token_ids[0]
    facts = {
        "limit": limit,
        "naive_loss": naive_loss(model, examples),
        "naive_answers": {e.line: greedy(model, e, limit, stops) for e in examples if e.prompt_ids},
        "batched": evaluated(model, examples, stops, pad),
        "reversed": evaluated(model, examples[::-1], stops, pad),
        "texts": evaluated(model, examples[len(ASKING) :], stops, pad),
        "naive_texts_loss": naive_loss(model, examples[len(ASKING) :]),
    }
    batches.ROWS_A_BATCH = 1  # type: ignore[misc]  # what a constant's value changes is the question
    facts["single"] = evaluated(model, examples, stops, pad)
    evaluation.ROWS_A_LOSS = 3  # type: ignore[misc]  # likewise
    facts["pieces"] = evaluated(model, examples, stops, pad)
    sys.stdout.write(json.dumps(facts))


def evaluated(model: Any, examples: list[Example], stops: tuple[int, ...], pad: int) -> dict[str, Any]:
    """The product's loss and answers."""
    ticks: list[tuple[int, int]] = []
    found = evaluation.Evaluator(examples, stops, pad, StopFlag()).evaluate(
        model, json.dumps, "baseline", None, lambda done, of: ticks.append((done, of))
    )
    return {
        "metrics": found.metrics,
        "answers": {a.line: json.loads(a.output) for a in found.answers},
        "order": [a.line for a in found.answers],
        "ticks": ticks,
    }


def naive_loss(model: Any, examples: list[Example]) -> float:
    """Each row alone, nothing padded, every logit."""
    total, count = 0.0, 0
    for e in examples:
        with torch.no_grad():
            logits = model(torch.tensor([e.input_ids])).logits[0]
        wanted = [i for i, answer in enumerate(e.answer_mask) if answer and i > 0]
        targets = torch.tensor([e.input_ids[i] for i in wanted])
        total += functional.cross_entropy(logits[[i - 1 for i in wanted]], targets, reduction="sum").item()
        count += len(wanted)
    return total / count


def greedy(model: Any, example: Example, limit: int, stops: tuple[int, ...]) -> list[int]:
    """The likeliest token again and again, everything computed anew each time."""
    ids, new = list(example.prompt_ids), list[int]()
    while len(new) < limit:
        with torch.no_grad():
            token = int(model(torch.tensor([ids + new])).logits[0, -1].argmax())
        if token in stops:
            break
        new.append(token)
    return new


def limit_of(examples: list[Example]) -> int:
    """Half as much again as the longest answer, and eight."""
    longest = max(len(e.input_ids) - len(e.prompt_ids) for e in examples if e.prompt_ids)
    return longest + longest // 2 + 8


if __name__ == "__main__":
    main()
