"""GGUF to a folder of bf16 safetensors: `python -m finetune_trainer.unpack FILE FOLDER`. Complete or absent."""

import errno
import json
import os
import shutil
import sys
from pathlib import Path

from finetune_trainer.events import PhaseEvent
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.failures import exit_code_of
from finetune_trainer.files import sync, sync_tree
from finetune_trainer.progress import emit, emit_failure

_MAGIC = b"GGUF"


def main() -> int:
    """Unpack as the command line says; the exit code."""
    if len(sys.argv) != 3:
        return emit_failure(ExitCode.CONFIGURATION, "usage: python -m finetune_trainer.unpack FILE.gguf FOLDER")
    return exit_code_of(lambda: unpack(Path(sys.argv[1]), Path(sys.argv[2])))


def unpack(source: Path, target: Path) -> None:
    """Read a GGUF file through transformers and write what every tool reads.

    Raises:
        TrainerError: not a GGUF file, or one that transformers can't read.
    """
    check_gguf(source)
    if target.exists():
        return
    emit(PhaseEvent(phase="loading", message=f"unpacking {source.name} into bf16 safetensors, once"))
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _convert(source, partial)
        sync_tree(partial)
        _put(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put(partial: Path, target: Path) -> None:
    try:
        partial.replace(target)
    except OSError as e:
        # another process was quicker with the same file
        if e.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    sync(target.parent)


def check_gguf(source: Path) -> None:
    """Look at the file's first bytes.

    Raises:
        TrainerError: MODEL.
    """
    try:
        with source.open("rb") as f:
            magic = f.read(4)
    except OSError as e:
        raise TrainerError(ExitCode.MODEL, f"{source}: can't be read: {e.strerror}") from e
    if magic != _MAGIC:
        raise TrainerError(ExitCode.MODEL, f"{source}: is not a GGUF file (its first bytes are {magic!r})")


def _convert(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**where)
        model = AutoModelForCausalLM.from_pretrained(
            **where, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
        )
    except (ValueError, KeyError, NotImplementedError) as e:
        raise TrainerError(ExitCode.MODEL, f"{source}: transformers can't read this GGUF: {e}") from e
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _drop_quantization(folder / "config.json")


def _drop_quantization(path: Path) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.pop("quantization_config", None) is not None:
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
