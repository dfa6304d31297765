"""Held-out rows through one model: the loss on their answers, and the answers it gives itself.

Several ranks divide the batches, and each ends with what all have found.

Batches are padded on the left, so that answers end at the right edge: the output head then runs over the answers'
positions alone, and generation goes on from the prompts' ends.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal, TypeVar

import torch
from torch.nn import functional

from finetune_trainer.data.batches import answer_limit, asked_of, batches, predicted_from
from finetune_trainer.data.examples import Example
from finetune_trainer.division import dealt_out, is_divided
from finetune_trainer.evidence import AnswerRow, Evaluation
from finetune_trainer.interrupts import StopFlag
from finetune_trainer.job_config import JsonContractConfig
from finetune_trainer.ranks import ALONE, Ranks
from finetune_trainer.scoring import score

T = TypeVar("T")

ROWS_A_LOSS: Final = 256
"""Positions whose logits are in FP32 at a time: a large vocabulary's would take more memory than the model."""

Tick = Callable[[int, int], None]
"""Told rows done and rows in all."""


class Evaluator:
    """Evaluates models on the same rows in the same way."""

    def __init__(
        self,
        examples: Sequence[Example],
        stop_ids: tuple[int, ...],
        pad_id: int,
        stop: StopFlag,
        ranks: Ranks = ALONE,
    ) -> None:
        self._examples = examples
        self._stop_ids = stop_ids
        self._pad_id = pad_id
        self._stop = stop
        self._ranks = ranks

    def evaluate(
        self,
        model: Any,
        decode: Callable[[list[int]], str],
        subject: Literal["baseline", "tuned"],
        contract: JsonContractConfig | None,
        tick: Tick,
    ) -> Evaluation:
        """Metrics and raw answers of one model."""
        began = time.monotonic()
        model.eval()
        # not inference_mode: a divided model's small weights stay put together, and would be no weights to train then
        with torch.no_grad():
            loss = self._mean_loss(model)
            outputs = self._generate(model, decode, tick)
        answers = tuple(
            AnswerRow(file=e.file, line=e.line, prompt=e.prompt, reference=e.reference, output=outputs[i])
            for i, e in enumerate(self._examples)
            if i in outputs
        )
        metrics = score(answers, contract, loss)
        return Evaluation(subject=subject, metrics=metrics, answers=answers, seconds=time.monotonic() - began)

    def _mean_loss(self, model: Any) -> float:
        found: dict[int, tuple[float, int]] = {}
        for index, batch in self._share(model, [len(e.input_ids) for e in self._examples]):
            found[index] = answer_loss(model, [self._examples[i] for i in batch], self._pad_id, model.device)
        # added up in the order of batches: the same sum on any number of ranks
        every = self._together(found)
        losses, tokens = zip(*(every[i] for i in sorted(every)), strict=True)
        return float(sum(losses)) / int(sum(tokens))

    def _share(self, model: Any, lengths: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
        return dealt_out(list(batches(lengths)), model, self._stop, self._ranks)

    def _together(self, mine: dict[int, T]) -> dict[int, T]:
        return {key: value for part in self._ranks.gather(mine) for key, value in part.items()}

    def _generate(self, model: Any, decode: Callable[[list[int]], str], tick: Tick) -> dict[int, str]:
        asked = asked_of(self._examples)
        limit = answer_limit(self._examples)
        outputs: dict[int, str] = {}
        for _, batch in self._share(model, [len(self._examples[i].prompt_ids) + limit for i in asked]):
            rows = [asked[i] for i in batch]
            prompts = [self._examples[i].prompt_ids for i in rows]
            for i, new in zip(rows, self._continue(model, prompts, limit), strict=True):
                outputs[i] = decode(new)
            # the others are about as far
            tick(min(len(outputs) * self._ranks.size, len(asked)), len(asked))
        return self._together(outputs)

    def _continue(self, model: Any, prompts: Sequence[tuple[int, ...]], limit: int) -> list[list[int]]:
        ids, mask = _left_padded(prompts, self._pad_id, model.device)
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=limit,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=list(self._stop_ids),
            pad_token_id=self._pad_id,
            # whose rows have all ended goes on for the others
            synced_gpus=is_divided(model) and self._ranks.size > 1,
        )
        return [_until_stop(row, self._stop_ids) for row in out[:, ids.shape[1] :].tolist()]


def _until_stop(ids: list[int], stop_ids: tuple[int, ...]) -> list[int]:
    end = next((i for i, token in enumerate(ids) if token in stop_ids), len(ids))
    return ids[:end]


def _left_padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(r) for r in rows)
    ids = torch.tensor([[pad] * (width - len(r)) + list(r) for r in rows], device=device)
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=device)
    return ids, mask


def answer_loss(model: Any, examples: Sequence[Example], pad: int, device: torch.device) -> tuple[float, int]:
    """Summed loss on the answers' tokens, and their number."""
    predicted, targets, _ = _answers(model, [(e.input_ids, e.answer_mask) for e in examples], pad, device)
    nll = 0.0
    for begin in range(0, len(targets), ROWS_A_LOSS):
        some = slice(begin, begin + ROWS_A_LOSS)
        nll += functional.cross_entropy(predicted[some].float(), targets[some], reduction="sum").item()
    return nll, len(targets)


def answer_log_probs(model: Any, sequences: Sequence[tuple[Sequence[int], Sequence[bool]]], pad: int) -> list[float]:
    """Log-probability of each sequence's answers, summed over their tokens."""
    predicted, targets, rows = _answers(model, sequences, pad, model.device)
    found = torch.zeros(len(sequences), dtype=torch.float64, device=targets.device)
    for begin in range(0, len(targets), ROWS_A_LOSS):
        some = slice(begin, begin + ROWS_A_LOSS)
        nll = functional.cross_entropy(predicted[some].float(), targets[some], reduction="none")
        found.index_add_(0, rows[some], -nll.double())
    return found.tolist()


def _answers(
    model: Any, sequences: Sequence[tuple[Sequence[int], Sequence[bool]]], pad: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits for the answers' tokens, these tokens, and the number of the sequence that each is of."""
    ids, mask = _left_padded([ids for ids, _ in sequences], pad, device)
    answers, _ = _left_padded([[int(m) for m in wanted] for _, wanted in sequences], 0, device)
    # the head runs from the position before the first answer token on; a prediction is for the token after it
    kept = max(predicted_from(wanted) for _, wanted in sequences)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    logits = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=kept, use_cache=False
    ).logits
    # a row's first token has nothing before it that it could be predicted from: padding least of all
    wanted = (answers[:, -kept:][:, 1:] * mask[:, -kept:][:, :-1]).bool()
    return logits[:, :-1][wanted], ids[:, -kept:][:, 1:][wanted], wanted.nonzero()[:, 0]
