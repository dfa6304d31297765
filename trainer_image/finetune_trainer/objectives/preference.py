"""Training on judged answers: a trainer with the loss of a preference objective in place of its own.

Notes:
    Losses are means over the rows of an optimizer step, whatever ranks and micro-batches these are on, and nothing is
    synchronised but for KTO's drift until a step is logged.
"""

from typing import Any, cast

import torch

from finetune_trainer.job_config import Objective, PreferenceConfig
from finetune_trainer.objectives.losses import LOSSES, Answers, Judged


class PreferenceLoss:
    """Mixed in before TRL's SFTTrainer, of which it is given the batches of `rows.collate`."""

    objective: Objective
    preference: PreferenceConfig

    # losses are divided by the rows of the whole step
    loss_is_scaled_for_ga = True

    def begin(self, objective: Objective, preference: PreferenceConfig | None) -> None:
        """Say what is asked for, before training."""
        self.objective = objective
        if preference is not None:
            self.preference = preference
        self._told = torch.zeros(5, dtype=torch.float64)
        self._tokens = torch.zeros(1, dtype=torch.float64)

    def row_lengths(self) -> list[int]:
        """What rows of a step are ordered by: tokens of the longer answer's sequence.

        Notes:
            KTO's drift is that of the rows that go through together: it keeps them as they were drawn.
        """
        rows = cast("Any", self).train_dataset["ids"]
        return [0 if self.objective == "KTO" else max(map(len, sequences)) for sequences in rows]

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["ids", "targets", "reference", "wanted", "counted"]

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor:
        rows = sum(batch["counted"].sum() for batch in batch_samples)
        trainer = cast("Any", self)
        return cast("torch.Tensor", trainer.accelerator.gather(torch.as_tensor(rows).to(device).reshape(1)).sum())

    def compute_loss(self, model: Any, inputs: dict[str, Any], *, num_items_in_batch: torch.Tensor) -> torch.Tensor:
        """The sum of the rows' losses over the number of rows of the step, times the ranks that it is averaged over."""
        trainer = cast("Any", self)
        counted, wanted = inputs["counted"], inputs["wanted"]
        own = len(inputs["input_ids"]) - (len(wanted) if self.objective == "KTO" else 0)
        outputs = self._forward(model, {k: inputs[k][:own] for k in ("input_ids", "attention_mask", "labels")})
        judged = LOSSES[self.objective](
            Answers(
                log_probs=outputs.log_probs.sum(-1),
                tokens=outputs.label_mask.sum(-1),
                reference=inputs["reference"][:own],
                wanted=wanted,
                drift=self._drift(model, inputs, own),
            ),
            self.preference,
        )
        self._tell(judged, wanted, counted, inputs["attention_mask"][:own])
        loss = self._mean(judged, counted, num_items_in_batch)
        if trainer.aux_loss_enabled:
            loss = loss + trainer.router_aux_loss_coef * outputs.aux_loss / trainer.current_gradient_accumulation_steps
        return loss

    def _mean(self, judged: Judged, counted: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """This rank's part of the mean over the rows of a step, times the ranks that gradients are averaged over."""
        ranks: int = cast("Any", self).accelerator.num_processes
        return torch.where(counted, judged.losses, 0.0).sum() * ranks / rows

    def _forward(self, model: Any, inputs: dict[str, torch.Tensor]) -> Any:
        router = {"output_router_logits": True} if cast("Any", self).aux_loss_enabled else {}
        return model(**inputs, **router, use_cache=False, fused_lm_head=True)

    def _drift(self, model: Any, inputs: dict[str, Any], own: int) -> torch.Tensor:
        """How much likelier answers that belong elsewhere have become, on average over all ranks' rows; at least 0."""
        if self.objective != "KTO":
            return torch.zeros(())
        trainer = cast("Any", self)
        with torch.no_grad():
            aside = {k: inputs[k][own:] for k in ("input_ids", "attention_mask", "labels")}
            more = self._forward(model, aside).log_probs.sum(-1) - inputs["reference"][own:]
        counted = inputs["counted"]
        both = torch.stack([torch.where(counted, more, 0.0).sum(), counted.sum().to(more.dtype)])
        total, rows = trainer.accelerator.gather(both[None]).sum(0)
        drift: torch.Tensor = (total / rows.clamp(min=1)).clamp(min=0)
        return drift

    def _tell(self, judged: Judged, wanted: torch.Tensor, counted: torch.Tensor, mask: torch.Tensor) -> None:
        """Add up, without waiting for the device or another rank."""
        rewards = judged.rewards.double()
        good, bad = counted & wanted, counted & ~wanted
        right = (good & (rewards > judged.threshold)) | (bad & (rewards < judged.threshold))
        told = [right.sum(), good.sum(), bad.sum(), rewards[good].sum(), rewards[bad].sum()]
        self._told = self._told.to(rewards.device) + torch.stack([t.double() for t in told])
        rows = counted.repeat(len(mask) // len(counted))
        self._tokens = self._tokens.to(rewards.device) + mask[rows].sum()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Put rewards and tokens of all ranks since the last time beside the loss."""
        trainer = cast("Any", self)
        found = trainer.accelerator.gather(torch.cat([self._told, self._tokens]).to(trainer.args.device)[None]).sum(0)
        right, good, bad, best, worst, tokens = found.tolist()
        self._told = torch.zeros_like(self._told)
        logs["num_tokens"] = tokens
        if good + bad:
            logs["rewards/accuracies"] = right / (good + bad)
        if self.objective != "KTO" and good:
            logs["rewards/margins"] = best / good
        elif good and bad:
            logs["rewards/margins"] = best / good - worst / bad
        super().log(logs, start_time)  # type: ignore[misc]  # of what it is mixed into
