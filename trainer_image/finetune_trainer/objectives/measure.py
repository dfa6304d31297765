"""What held-out rows' loss is while a model is trained: the objective's own, batch by batch."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from finetune_trainer.data.examples import Example
from finetune_trainer.evaluation import answer_log_probs, answer_loss
from finetune_trainer.evidence import JudgedAnswers
from finetune_trainer.job_config import JobConfig, PreferenceConfig
from finetune_trainer.objectives.log_probs import answer_scores
from finetune_trainer.objectives.losses import LOSSES, Answers, reward
from finetune_trainer.objectives.sequences import laid_out


class Measure(Protocol):
    """A loss whose parts ranks compute for one another."""

    lengths: Sequence[int]
    """Tokens of each sequence that goes through the model."""
    rows: int
    """Held-out rows that they are of."""

    def part(self, engine: Any, batch: Sequence[int], device: torch.device) -> Any:
        """What a batch of sequences, by index, gives: plain values, for ranks to tell one another."""

    def whole(self, parts: Sequence[Any]) -> tuple[float, int]:
        """The loss, and the tokens of the answers that it is on; the parts are all there, in the order of batches."""


class AnswerMeasure:
    """SFT's: the mean over the answers' tokens."""

    def __init__(self, examples: Sequence[Example], pad: int) -> None:
        self._examples = examples
        self._pad = pad
        self.lengths: Sequence[int] = [len(e.input_ids) for e in examples]
        self.rows = len(examples)

    def part(self, engine: Any, batch: Sequence[int], device: torch.device) -> tuple[float, int]:
        """Summed loss, and tokens."""
        return answer_loss(engine, [self._examples[i] for i in batch], self._pad, device)

    def whole(self, parts: Sequence[tuple[float, int]]) -> tuple[float, int]:
        """Added up in the order of batches: the same sum on any number of ranks."""
        tokens = sum(count for _, count in parts)
        return sum(loss for loss, _ in parts) / tokens, tokens


class JudgedMeasure:
    """Of objectives on judged answers: the mean over rows."""

    def __init__(self, job: JobConfig, examples: Sequence[Example], pad: int, before: Sequence[JudgedAnswers]) -> None:
        self._objective = job.objective
        self._preference = job.preference
        self._pad = pad
        laid = laid_out(examples, job.objective, job.data.max_length)
        self._sequences = [s for _, sequences in laid for s in sequences]
        self._width = len(laid[0][1])
        self._wanted = torch.tensor([e.wanted for e in examples])
        self._reference = _by_place([p for row in before for p in row.log_probs], self._width)
        self.lengths: Sequence[int] = [len(ids) for ids, _ in self._sequences]
        self.rows = len(examples)

    def part(self, engine: Any, batch: Sequence[int], device: torch.device) -> list[tuple[int, float]]:
        """What the model gives each sequence."""
        del device
        some = [self._sequences[i] for i in batch]
        of = answer_scores if self._objective == "Reward" else answer_log_probs
        return list(zip(batch, of(engine, some, self._pad), strict=True))

    def whole(self, parts: Sequence[list[tuple[int, float]]]) -> tuple[float, int]:
        """As in training, of all rows at once: also KTO's drift."""
        known = dict(pair for part in parts for pair in part)
        values = _by_place([known[i] for i in range(len(known))], self._width)
        # a row's first token is predicted from nothing
        tokens = _by_place([float(sum(mask[1:])) for _, mask in self._sequences], self._width)
        answers = 1 if self._objective == "KTO" else self._width
        counted = int(tokens[:answers].sum())
        if self._preference is None:
            return reward(values.flatten()).losses.mean().item(), counted
        return self._weighed(self._preference, values, tokens, answers), counted

    def _weighed(self, preference: PreferenceConfig, values: torch.Tensor, tokens: torch.Tensor, answers: int) -> float:
        reference = self._reference if len(self._reference) else torch.zeros_like(values)
        drift = (values - reference)[answers:].mean().clamp(min=0) if self._objective == "KTO" else torch.zeros(())
        judged = LOSSES[self._objective](
            Answers(
                log_probs=values[:answers].flatten(),
                tokens=tokens[:answers].flatten(),
                reference=reference[:answers].flatten(),
                wanted=self._wanted,
                drift=drift,
            ),
            preference,
        )
        return float(judged.losses.mean().item())


def _by_place(values: Sequence[float], width: int) -> torch.Tensor:
    """Values of one sequence after the other as one line for each place in a row; no lines where there are none."""
    return torch.tensor(values, dtype=torch.float64).reshape(-1, width).T.contiguous() if values else torch.zeros(0)


def measure_of(job: JobConfig, examples: Sequence[Example], pad: int, before: Sequence[JudgedAnswers]) -> Measure:
    """The objective's.

    Args:
        job: the contract.
        examples: held-out rows.
        pad: token that fills up a batch; of a model with a score one that no row ends with.
        before: the same rows under the model as it was when training began.
    """
    return AnswerMeasure(examples, pad) if job.objective == "SFT" else JudgedMeasure(job, examples, pad, before)
