"""What a preference objective needs before its first step: rows, and the reference's word on their answers."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from finetune_trainer.data.examples import Example
from finetune_trainer.events import PhaseEvent
from finetune_trainer.interrupts import StopFlag
from finetune_trainer.job_config import REFERENCED, JobConfig
from finetune_trainer.objectives.log_probs import log_probs
from finetune_trainer.objectives.rows import dataset
from finetune_trainer.objectives.sequences import laid_out
from finetune_trainer.progress import Emit
from finetune_trainer.ranks import Ranks


def preference_rows(
    job: JobConfig, model: Any, examples: Sequence[Example], stop: StopFlag, ranks: Ranks, emit: Emit
) -> Dataset:
    """Rows for a preference objective, with what the model gives their answers as it stands before training.

    Notes:
        The reference never changes, so it is asked once: no second model, and no second forward pass a step.
    """
    rows = laid_out(examples, job.objective, job.data.max_length)
    reference: list[float] = []
    if job.objective in REFERENCED:

        def tick(done: int, total: int) -> None:
            emit(PhaseEvent(phase="training", message="asking the model as it is", done=done, total=total))

        # padding is masked: which token it is makes no difference
        reference = log_probs(model, [s for _, sequences in rows for s in sequences], 0, stop, ranks, tick)
    return dataset(rows, reference, blank=ranks.size > 1)
