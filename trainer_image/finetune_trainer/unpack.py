"""GGUF to a folder of bf16 safetensors: `python -m finetune_trainer.unpack FILE FOLDER`. Complete or absent."""

import json
import shutil
import sys
import traceback
from pathlib import Path

from finetune_trainer.events import PhaseEvent
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.failures import explain
from finetune_trainer.progress import emit, emit_failure

_MAGIC = b"GGUF"


def main() -> int:
    """Unpack as the command line says; the exit code."""
    if len(sys.argv) != 3:
        return emit_failure(ExitCode.CONFIGURATION, "usage: python -m finetune_trainer.unpack FILE.gguf FOLDER")
    try:
        unpack(Path(sys.argv[1]), Path(sys.argv[2]))
    except TrainerError as e:
        return emit_failure(e.code, e.message)
    except Exception as e:  # noqa: BLE001  the outermost loop: every failure becomes a code and a sentence
        traceback.print_exc()
        failure = explain(e)
        return emit_failure(failure.code, failure.message)
    return ExitCode.OK


def unpack(source: Path, target: Path) -> None:
    """Read a GGUF file through transformers and write what every tool reads.

    Raises:
        TrainerError: not a GGUF file, or one that transformers can't read.
    """
    check_gguf(source)
    if target.exists():
        return
    emit(PhaseEvent(phase="loading", message=f"unpacking {source.name} into bf16 safetensors, once"))
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _convert(source, partial)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
