"""The loss on answers, on a CPU: the output head runs for the tokens that are learnt from, and for no others.

TRL's own does so on a GPU alone. Elsewhere it runs the head over prompts and padding, too, and a second time for the
gradient.
"""

import types
from typing import Any, Final

import torch
from torch import nn

IGNORED: Final = -100
"""Label of tokens that the loss isn't on."""

TOKENS_AT_A_TIME: Final = 512
"""Whose logits are there at once: a large vocabulary's take more memory than the model."""

SCALES: Final = (
    "final_logit_softcapping",
    "logit_scale",
    "output_multiplier",
    "lm_head_multiplier",
    "logits_scaling",
)
"""Of a model's configuration: what changes logits behind the head."""


class AnswerLoss(torch.autograd.Function):
    """Sum of the negative log-likelihoods of tokens; the gradient is made with the logits, which are then let go."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
    ) -> torch.Tensor:
        """Of rows of the head's input (tokens, hidden size) and the tokens (tokens) that they are to predict."""
        total = hidden.new_zeros((), dtype=torch.float32)
        inner = torch.empty_like(hidden)
        outer = torch.zeros_like(weight, dtype=torch.float32) if weight.requires_grad else None
        shift = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and bias.requires_grad else None
        for some in (slice(n, n + TOKENS_AT_A_TIME) for n in range(0, len(targets), TOKENS_AT_A_TIME)):
            logits = nn.functional.linear(hidden[some], weight, bias).float()
            norms, wanted = logits.logsumexp(-1, keepdim=True), targets[some, None]
            total += (norms - logits.gather(-1, wanted)).sum()
            # what the loss falls by: the probabilities, less one where the token is
            slope = logits.sub_(norms).exp_()
            slope.scatter_add_(-1, wanted, slope.new_full(wanted.shape, -1.0))
            inner[some] = slope.to(weight.dtype) @ weight
            if outer is not None:
                outer.addmm_(slope.T, hidden[some].float())
            if shift is not None:
                shift += slope.sum(0)
        ctx.slopes = (inner, _as(outer, weight), _as(shift, bias))
        return total

    @staticmethod
    def backward(ctx: Any, *of_loss: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The same gradients, by how much the sum counts."""
        return (*(None if s is None else s * of_loss[0].to(s.dtype) for s in ctx.slopes), None)


def _as(slope: torch.Tensor | None, like: torch.Tensor | None) -> torch.Tensor | None:
    return None if slope is None or like is None else slope.to(like.dtype)


def has_plain_head(model: Any) -> bool:
    """Whether logits are a linear module's output and nothing else."""
    config = model.config.get_text_config()
    return type(model.get_output_embeddings()) is nn.Linear and all(
        getattr(config, name, None) in {None, 1.0} for name in SCALES
    )


def learn_from_answers(model: Any) -> None:
    """Let the model, called as TRL calls it, give the sum of its answers' losses in place of every token's."""
    before = model.forward

    def forward(
        self: Any, *args: Any, fused_lm_head: bool = False, labels: torch.Tensor | None = None, **kwargs: Any
    ) -> Any:
        if not fused_lm_head or labels is None:
            return before(*args, fused_lm_head=fused_lm_head, labels=labels, **kwargs)
        hidden = self.base_model(*args, **kwargs).last_hidden_state[:, :-1]
        wanted = labels[:, 1:] != IGNORED
        head = self.get_output_embeddings()
        loss: Any = AnswerLoss
        return loss.apply(hidden[wanted], head.weight, head.bias, labels[:, 1:][wanted])

    model.forward = types.MethodType(forward, model)
