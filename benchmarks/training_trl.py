"""What somebody writes who fine-tunes with TRL and PEFT; `benchmarks/training.py` runs it beside our trainer.

    python training_trl.py train '{"model": …, "rows": …, "output": …, "steps": …, "settings": {…}}'
    python training_trl.py judge '{"model": …, "adapters": […], "rows": …}'

`settings` are SFTConfig's, beside those that every contender has; none is a plain script. `judge` prints the loss that
adapters have on the answers of other rows, in 32 bits whoever trained them.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Told(TrainerCallback):
    """Writes a line at each optimizer step, for the benchmark to see when it is done."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_step_end(self, *_: Any, **__: Any) -> None:
        with self._path.open("a") as file:
            file.write("{}\n")


def train(asked: dict[str, Any]) -> None:
    """Fine-tune, and leave the adapter."""
    trainer = SFTTrainer(
        model=asked["model"],
        args=SFTConfig(
            output_dir=asked["output"],
            use_cpu=not torch.cuda.is_available(),
            num_train_epochs=1,
            report_to="none",
            **asked["same"],
            **asked["settings"],
        ),
        train_dataset=load_dataset("json", data_files=asked["rows"], split="train"),
        peft_config=LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", **asked["adapter"]),
        callbacks=[Told(Path(asked["steps"]))],
    )
    trainer.train()
    trainer.save_model(asked["output"])


def judge(asked: dict[str, Any]) -> None:
    """Print the mean loss of an answer's token under each adapter, and without one where there is null."""
    tokenizer: Any = AutoTokenizer.from_pretrained(asked["model"])
    loader: Any = AutoModelForCausalLM
    rows = [json.loads(line) for line in Path(asked["rows"]).read_text(encoding="utf-8").splitlines()]
    found = []
    for adapter in asked["adapters"]:
        base = loader.from_pretrained(asked["model"], dtype=torch.float32)
        model: Any = (PeftModel.from_pretrained(base, adapter) if adapter else base).eval()
        losses = [_losses(model, tokenizer, row) for row in rows]
        found.append(torch.cat(losses).mean().item())
    print(json.dumps(found))


def _losses(model: Any, tokenizer: Any, row: dict[str, Any]) -> torch.Tensor:
    prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=True)["input_ids"]
    whole = tokenizer.apply_chat_template(row["prompt"] + row["completion"], return_dict=True)["input_ids"]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([whole])).logits[0, len(prompt) - 1 : -1]
    return torch.nn.functional.cross_entropy(logits.float(), torch.tensor(whole[len(prompt) :]), reduction="none")


if __name__ == "__main__":
    {"train": train, "judge": judge}[sys.argv[1]](json.loads(sys.argv[2]))
