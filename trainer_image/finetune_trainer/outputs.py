"""The result on the disk: written aside, reloaded as a user would load it, and only then put in its place."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import PreTrainedTokenizerBase, Trainer

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.files import sha256_of
from finetune_trainer.job_config import STATE_FOLDER, JobConfig
from finetune_trainer.magnitudes import exact, write_exact
from finetune_trainer.modeling import SCORE, load_base, load_model
from finetune_trainer.quantization import DTYPES
from finetune_trainer.ranks import Ranks

_UNWANTED: Final = ("README.md", "training_args.bin")
"""What the libraries leave that isn't the result: an empty card, and a pickle."""


def staging_folder(job: JobConfig) -> Path:
    """Where the result lies until it is validated."""
    return Path(job.output) / STATE_FOLDER / "staging"


def stage(
    job: JobConfig,
    trainer: Trainer,
    tokenizer: PreTrainedTokenizerBase,
    lacking: Mapping[str, torch.Tensor],
    ranks: Ranks,
) -> None:
    """Write adapter or model, and tokenizer, to the staging folder; lacking: what DoRA's magnitudes began without.

    Notes:
        All ranks put the weights together, and the first one writes them.
    """
    folder = staging_folder(job)
    ranks.ask_first(lambda: _empty(folder))
    trainer.save_model(str(folder))
    magnitudes = exact(trainer.model_wrapped, lacking)
    ranks.ask_first(lambda: _complete(job, folder, tokenizer, magnitudes))


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _complete(
    job: JobConfig, folder: Path, tokenizer: PreTrainedTokenizerBase, magnitudes: Mapping[str, torch.Tensor]
) -> None:
    write_exact(folder, magnitudes)
    tokenizer.save_pretrained(str(folder))
    for name in _UNWANTED:
        (folder / name).unlink(missing_ok=True)
    _check_weights(folder, adapter=job.adapter is not None)


def _check_weights(folder: Path, *, adapter: bool) -> None:
    """Refuse what libraries are known to write on a bad day: no tensors, or an adapter that was never trained."""
    files = weight_files(folder)
    largest = 0.0
    keys = 0
    for path in files:
        with safe_open(path, framework="pt") as f:
            for key in f.keys():  # noqa: SIM118  safe_open is no mapping
                tensor = f.get_tensor(key)
                if not torch.isfinite(tensor).all():
                    raise TrainerError(ExitCode.INTERNAL, f"the result's {key} holds values that aren't numbers")
                keys += 1
                # an adapter's other half is random from the beginning; a reward model's score moves first
                if not adapter or "lora_B" in key or key.endswith(SCORE):
                    largest = max(largest, float(tensor.abs().max())) if tensor.numel() else largest
    if not keys or largest == 0.0:
        raise TrainerError(ExitCode.INTERNAL, f"the result in {folder} is empty: nothing was trained")


def weight_files(folder: Path) -> Sequence[Path]:
    """The safetensors files of a result."""
    return sorted(folder.glob("*.safetensors"))


def digest_of(folder: Path) -> str:
    """One digest of all weights: of the file itself where there is one."""
    digests = [sha256_of(p) for p in weight_files(folder)]
    if len(digests) == 1:
        return digests[0]
    return f"sha256:{hashlib.sha256(chr(10).join(digests).encode()).hexdigest()}"


def reload(job: JobConfig, folder: Path, device: torch.device) -> Any:
    """The result as a user loads it: by plain transformers, an adapter by plain PEFT on the base of its training."""
    model: Any
    if job.adapter is None:
        model = load_model(folder, DTYPES[job.training.precision], scored=job.objective == "Reward")
    else:
        model = PeftModel.from_pretrained(load_base(job, device), str(folder))
    return model.to(device)


def publish(job: JobConfig, folder: Path) -> dict[str, int]:
    """Move the validated result to its place; file names and bytes."""
    output = Path(job.output)
    names = {p.name: p.stat().st_size for p in sorted(folder.iterdir())}
    for name in names:
        (folder / name).replace(output / name)
    folder.rmdir()
    return names
