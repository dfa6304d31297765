"""Losses of TRL's own trainers beside ours on the same batch: `python -m … FOLDER`, JSON out.

A program of its own: the tests' process must not touch a tensor before it forks.
"""

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer
from trl.experimental.orpo import ORPOTrainer

from finetune_trainer.job_config import PreferenceConfig
from finetune_trainer.objectives.losses import Answers, dpo, kto, orpo, reward

WEIGHED = PreferenceConfig(beta=0.3, desirable_weight=1.5, undesirable_weight=0.7)
PROMPTS = [f"what is number {i}? " for i in range(6)]
GOOD = [" red"] * 6
BAD = [" deep blue", " green", " x", " or it is not", " yellow", " ab"]


def main() -> None:
    """Print ours and TRL's, by objective."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    folder = Path(sys.argv[1])
    loader: Any = AutoModelForCausalLM
    reference = loader.from_pretrained(folder, dtype=torch.float32)
    policy = loader.from_pretrained(folder, dtype=torch.float32)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    with tempfile.TemporaryDirectory() as scratch:
        common = {"output_dir": scratch, "use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True}
        common |= {"per_device_train_batch_size": 6, "gradient_checkpointing": False, "beta": WEIGHED.beta}
        found = {
            "DPO": of_dpo(policy, reference, tokenizer, common),
            "ORPO": of_orpo(),
            "KTO": of_kto(policy, reference, tokenizer, common),
            "Reward": of_reward(folder, tokenizer, common),
        }
    sys.stdout.write("\n" + json.dumps(found))


def summed(model: Any, batch: Any, prefix: str = "") -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability and tokens of each answer."""
    ids, mask = batch[f"{prefix}input_ids"], batch[f"{prefix}completion_mask"][:, 1:]
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=batch[f"{prefix}attention_mask"]).logits[:, :-1]
    each = logits.log_softmax(-1).gather(2, ids[:, 1:, None])[:, :, 0]
    return (each * mask).sum(1), mask.sum(1)


def answers(policy: Any, reference: Any, batch: Any, **more: torch.Tensor) -> Answers:
    """What our losses are computed from."""
    log_probs, tokens = summed(policy, batch)
    values = {"wanted": torch.ones(6, dtype=torch.bool), "drift": torch.zeros(())} | more
    return Answers(log_probs=log_probs, tokens=tokens, reference=summed(reference, batch)[0], **values)


def of_dpo(policy: Any, reference: Any, tokenizer: Any, common: dict[str, Any]) -> tuple[float, float]:
    """Ours and TRL's."""
    rows = Dataset.from_dict({"prompt": PROMPTS, "chosen": GOOD, "rejected": BAD})
    trainer = DPOTrainer(policy, reference, DPOConfig(**common), train_dataset=rows, processing_class=tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    policy.eval()
    theirs = trainer.compute_loss(policy, batch).item()
    return dpo(answers(policy, reference, batch), WEIGHED).losses.mean().item(), theirs


def of_kto(policy: Any, reference: Any, tokenizer: Any, common: dict[str, Any]) -> tuple[float, float]:
    """Ours and TRL's, with drift."""
    labels = [True, False, True, True, False, False]
    rows = Dataset.from_dict({"prompt": PROMPTS, "completion": BAD, "label": labels})
    weights = {"desirable_weight": WEIGHED.desirable_weight, "undesirable_weight": WEIGHED.undesirable_weight}
    trainer = KTOTrainer(
        policy, reference, KTOConfig(**common, **weights), train_dataset=rows, processing_class=tokenizer
    )
    batch = next(iter(trainer.get_train_dataloader()))
    policy.eval()
    theirs = trainer.compute_loss(policy, batch).item()
    drift = (summed(policy, batch, "KL_")[0] - summed(reference, batch, "KL_")[0]).mean().clamp(min=0)
    known = answers(policy, reference, batch, wanted=batch["label"], drift=drift)
    return kto(known, WEIGHED).losses.mean().item(), theirs


def of_reward(folder: Path, tokenizer: Any, common: dict[str, Any]) -> tuple[float, float]:
    """Ours and TRL's, of a score that is large enough to differ."""
    loader: Any = AutoModelForSequenceClassification
    model = loader.from_pretrained(folder, dtype=torch.float32, num_labels=1)
    torch.manual_seed(3)
    with torch.no_grad():
        model.score.weight.copy_(torch.randn_like(model.score.weight))
    rows = Dataset.from_dict({"prompt": PROMPTS, "chosen": GOOD, "rejected": BAD})
    config = RewardConfig(**{k: v for k, v in common.items() if k != "beta"})
    trainer = RewardTrainer(model, config, train_dataset=rows, processing_class=tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    model.eval()
    theirs = trainer.compute_loss(model, dict(batch)).item()
    with torch.no_grad():
        scores = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0]
    return reward(scores).losses.mean().item(), theirs


def of_orpo() -> tuple[float, float]:
    """Ours and TRL's, of which the odds' part is a function of mean log-probabilities."""
    torch.manual_seed(2)
    tokens = torch.randint(1, 9, (12,))
    means = -torch.rand(12) * 3 - 0.01
    like = SimpleNamespace(beta=WEIGHED.beta, accelerator=SimpleNamespace(device=torch.device("cpu")))
    odds = ORPOTrainer.odds_ratio_loss(like, *means.chunk(2))[0]
    known = Answers(
        log_probs=means * tokens,
        tokens=tokens,
        reference=torch.zeros(12),
        wanted=torch.ones(6, dtype=torch.bool),
        drift=torch.zeros(()),
    )
    return orpo(known, WEIGHED).losses.mean().item(), (-means.chunk(2)[0] - odds).mean().item()


if __name__ == "__main__":
    main()
