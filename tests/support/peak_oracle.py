"""Peak memory of a training step of real models, counted by torch itself on fake tensors: no GPU, no weights.

The step is our trainer's: 16-bit weights and adapters, TRL's fused output head, transformers' checkpointing, and
DeepSpeed's state at ZeRO-0, which is 32-bit master weights and AdamW's moments, and 32-bit gradients for the step.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from finetune_operator.api.spec import Adapter, Method
from tests.support.oracle_cases import CASES
from tests.support.oracle_kernels import cuda_kernels, workspace
from tests.support.oracle_models import build_model, tensors_of
from tests.support.oracle_tracker import LiveBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OraclePeak:
    """Allocated bytes of one device; each phase's highest, weights and optimizer state included."""

    trainable: int
    weights: int
    state: int
    """Weights, master weights and moments: what is there before a step."""
    forward: int
    """Until the loss is there."""
    kept: int
    """When the forward pass has ended."""
    backward: int
    gradients: int
    """When the backward pass has ended."""
    step: int
    """While the optimizer steps."""

    @property
    def peak(self) -> int:
        """The highest of all."""
        return max(self.forward, self.backward, self.step)


def measure_peak(
    config: Mapping[str, Any],
    method: Method,
    adapter: Adapter,
    *,
    length: int,
    micro_batch: int,
    checkpointing: bool,
    accumulation: int,
) -> OraclePeak:
    """One optimizer step in 16 bits on one device; rows of a micro-batch of more than one are padded.

    Args:
        config: what config.json says.
        method: how the model is trained.
        adapter: rank, dropout and targets of all methods but Full.
        length: tokens of the longest row.
        micro_batch: rows at a time.
        checkpointing: layers are computed again in the backward pass.
        accumulation: micro-batches of the step.
    """
    with cuda_kernels(padded=micro_batch > 1), FakeTensorMode():
        model, base = build_model(config, method, adapter)
        if checkpointing:
            if method is not Method.FULL:
                model.enable_input_require_grads()
            base.activation_checkpointing_enable()
        live = LiveBytes(workspace)
        live.add(tensors_of(model))
        weights = live.current
        trained = [p for p in model.parameters() if p.requires_grad]
        trainable = sum(p.numel() for p in trained)
        state = [torch.empty(trainable) for _ in ("master", "first moment", "second moment")]
        live.add(state)
        before = live.current
        with live:
            forward = kept = backward = 0
            for _ in range(accumulation):
                forward, kept, backward = _micro_batch(
                    model, live, torch.zeros((micro_batch, length), dtype=torch.int64)
                )
            gradients = live.current
            live.restart()
            copies = [p.grad.float() for p in trained if p.grad is not None]
            step = live.peak
            del copies
    return OraclePeak(
        trainable=trainable,
        weights=weights,
        state=before,
        forward=forward,
        kept=kept,
        backward=backward,
        gradients=gradients,
        step=step,
    )


def _micro_batch(model: Any, live: LiveBytes, tokens: torch.Tensor) -> tuple[int, int, int]:
    """Peak of the forward pass, what it leaves, peak of the backward pass."""
    live.restart()
    mask = torch.ones_like(tokens)
    output = model(input_ids=tokens, attention_mask=mask, labels=tokens, fused_lm_head=True, use_cache=False)
    loss = -output.log_probs.sum()
    forward, kept = live.peak, live.current
    live.restart()
    loss.backward()
    return forward, kept, live.peak


def main() -> None:
    """Measure every case; write one JSON object to the file that is named, by their ids."""
    measured = {
        name: asdict(
            measure_peak(
                case.config,
                case.method,
                case.adapter,
                length=case.length,
                micro_batch=case.micro_batch,
                checkpointing=case.checkpointing,
                accumulation=case.accumulation,
            )
        )
        for name, case in CASES.items()
    }
    Path(sys.argv[1]).write_text(json.dumps(measured), encoding="utf-8")


if __name__ == "__main__":
    main()
