"""Training a reward model: one score for an answer, higher for the chosen one than for the other."""

from typing import Any, cast

import torch
from peft import PeftModel
from transformers import TrainingArguments

from finetune_trainer.objectives.losses import reward
from finetune_trainer.objectives.preference import PreferenceLoss

STAGE_OF_PARTED_WEIGHTS = 3
"""ZeRO's, in which a layer that is computed anew has to be put together anew."""


class RewardLoss(PreferenceLoss):
    """Mixed in before transformers' Trainer: a model with a score has no output head that TRL could fuse."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *, num_items_in_batch: torch.Tensor) -> torch.Tensor:
        """The sum of the rows' losses over the number of rows of the step, times the ranks that it is averaged over."""
        counted, wanted, mask = inputs["counted"], inputs["wanted"], inputs["attention_mask"]
        scores = model(input_ids=inputs["input_ids"], attention_mask=mask, use_cache=False).logits[:, 0]
        # differences of scores in 16 bits would lose what the loss goes by
        judged = reward(scores.float())
        self._tell(judged, wanted, counted, mask)
        return self._mean(judged, counted, num_items_in_batch)


def prepare_checkpointing(model: Any, args: TrainingArguments) -> None:
    """What TRL's trainers do by themselves where an adapter's activations are computed anew."""
    if not args.activation_checkpointing or not isinstance(model, PeftModel):
        return
    cast("Any", model).enable_input_require_grads()
    deepspeed = cast("dict[str, Any]", args.deepspeed)
    if deepspeed["zero_optimization"]["stage"] == STAGE_OF_PARTED_WEIGHTS:
        args.activation_checkpointing_kwargs = {"use_reentrant": True}
