"""TRL's supervised loss without what nobody reads: neither entropy nor accuracy, and no waiting for the device."""

from collections.abc import Callable
from typing import Any, cast

import torch
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from finetune_trainer.answer_head import IGNORED, has_plain_head, learn_from_answers


class SupervisedLoss:
    """Mixed in before TRL's SFTTrainer.

    Notes:
        The loss is TRL's: negative log-likelihoods of the step's answers, over the number of their tokens. What is
        counted beside it stays on the device until a step is told.
    """

    _tokens = torch.zeros((), dtype=torch.int64)

    def leave_out_prompts(self) -> None:
        """Run the output head for answers alone, where TRL doesn't do so itself and the model's is one that can be.

        Notes:
            Under ZeRO-3 the head's weights aren't there until they are put together, which TRL sees to.
        """
        trainer = cast("Any", self)
        partitioned = cast("Callable[[], bool]", is_deepspeed_zero3_enabled)
        if trainer.args.device.type != "cpu" or partitioned():
            return
        model = trainer.accelerator.unwrap_model(trainer.model)
        base = getattr(model, "get_base_model", lambda: model)()
        if has_plain_head(base) and not trainer.aux_loss_enabled:
            learn_from_answers(base)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,  # noqa: FBT001,FBT002  as TRL has it
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The step's mean, as far as these rows add to it, times the ranks that it is averaged over."""
        del return_outputs
        trainer = cast("Any", self)
        # lines of packed rows tell it: they have no mask
        tokens = inputs.pop("tokens") if "tokens" in inputs else _real_tokens(inputs)
        self._tokens = self._tokens.to(inputs["input_ids"].device) + tokens
        router = {"output_router_logits": True} if trainer.aux_loss_enabled else {}
        rows = inputs if trainer.aux_loss_enabled else _without_mask(inputs)
        found = model(**rows, **router, use_cache=False, fused_lm_head=True)
        total = found if isinstance(found, torch.Tensor) else -found.log_probs.sum()
        answers = _answer_tokens(inputs) if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        # rows that fill up have no answer
        loss: torch.Tensor = total * trainer.accelerator.num_processes / answers.clamp(min=1)
        if trainer.aux_loss_enabled:
            loss = loss + trainer.router_aux_loss_coef * found.aux_loss / trainer.current_gradient_accumulation_steps
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Put the tokens of all ranks beside the loss."""
        trainer = cast("Any", self)
        everyone = trainer.accelerator.gather(self._tokens.to(trainer.args.device)[None]).sum()
        metrics: dict[str, list[float]] = trainer._metrics["train"]  # noqa: SLF001  TRL's own, which its log reads
        metrics["num_tokens"] = [everyone.item()]
        super().log(logs, start_time)  # type: ignore[misc]  # of what it is mixed into


def _answer_tokens(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return (inputs["labels"][:, 1:] != IGNORED).sum()


def _real_tokens(inputs: dict[str, torch.Tensor]) -> torch.Tensor | int:
    mask = inputs.get("attention_mask")
    return inputs["input_ids"].numel() if mask is None else mask.sum()


def _without_mask(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch without the mask of its padding.

    Notes:
        That is on the right, where no token ever sees it; attention without a mask has quicker kernels.
    """
    if "position_ids" in inputs:
        return inputs
    return {name: value for name, value in inputs.items() if name != "attention_mask"}
