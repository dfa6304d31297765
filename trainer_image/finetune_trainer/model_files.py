"""The files of a model folder: which there are, and whether safetensors are whole. No torch here."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from finetune_trainer.data.tokenizer import read_json
from finetune_trainer.exit_codes import ExitCode, TrainerError

SINGLE: Final = "model.safetensors"
"""The weights, where they are in one file."""

INDEX: Final = "model.safetensors.index.json"
"""Names the shard of every tensor, where they are in several."""

PICKLED: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt")
"""Weights that can run code when they are read."""

DESCRIPTIONS: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
"""Files beside the weights that decide what the model is and what ids a row has."""

MAX_HEADER_BYTES: Final = 100_000_000
"""Longest header that safetensors itself reads."""

_LFS: Final = b"version https://git-lfs"


def check_model(folder: Path, *, weights: bool) -> tuple[dict[str, Any], int]:
    """The config of a model, and with `weights` their bytes once they have proved whole, else 0.

    Raises:
        TrainerError: MODEL, with the file and what to do.
    """
    if not folder.exists():
        raise TrainerError(ExitCode.MODEL, f"{folder}: there is no such folder; name the one that holds config.json")
    if not folder.is_dir():
        raise TrainerError(ExitCode.MODEL, f"{folder}: is not a folder; name the folder that holds config.json")
    config = read_json(folder / "config.json")
    if not config:
        raise TrainerError(
            ExitCode.MODEL, f"{folder}: has no config.json with content; name the folder of a transformers model"
        )
    if not weights:
        return config, 0
    shards = weight_shards(folder)
    for shard in shards:
        check_safetensors(shard)
    return config, sum(p.stat().st_size for p in shards)


def weight_shards(folder: Path) -> list[Path]:
    """The safetensors files of the weights.

    Raises:
        TrainerError: MODEL, there is none, one is missing, or there are only pickles.
    """
    single = folder / SINGLE
    if single.exists():
        return [single]
    index = read_json(folder / INDEX)
    if index:
        return _indexed_shards(folder, index)
    if any(path for pattern in PICKLED for path in folder.glob(pattern)):
        raise TrainerError(
            ExitCode.MODEL,
            f"{folder}: has only pickled weights, which can run code when they are read; convert them to {SINGLE} "
            "where you trust them, or download the model's safetensors",
        )
    raise TrainerError(ExitCode.MODEL, f"{folder}: has no weights ({SINGLE}); download the model again")


def check_safetensors(path: Path) -> None:
    """Read the header and hold it against the file's size: finds truncated and foreign files without reading weights.

    Raises:
        TrainerError: MODEL.
    """
    try:
        damage = _damage(path)
    except OSError as e:
        raise TrainerError(ExitCode.MODEL, f"{path}: can't be read: {e.strerror}") from e
    if damage:
        raise TrainerError(ExitCode.MODEL, f"{path}: is no whole safetensors file: {damage}; download it again")


def files_of(folder: Path) -> list[Path]:
    """What the model is: config, tokenizer, template and weights."""
    return [p for n in DESCRIPTIONS if (p := folder / n).is_file()] + weight_shards(folder)


def _indexed_shards(folder: Path, index: dict[str, Any]) -> list[Path]:
    named = index.get("weight_map")
    names = sorted({str(name) for name in named.values()}) if isinstance(named, dict) else []
    if not names:
        raise TrainerError(ExitCode.MODEL, f"{folder / INDEX}: names no file; download the model again")
    for name in names:
        if Path(name).name != name:
            raise TrainerError(ExitCode.MODEL, f"{folder / INDEX}: names {name}, which is outside of the folder")
        if not (folder / name).exists():
            missing = sum(not (folder / n).exists() for n in names)
            raise TrainerError(
                ExitCode.MODEL,
                f"{folder / name}: is missing ({missing} of {len(names)} weight files are); download the model again",
            )
    return [folder / name for name in names]


def _damage(path: Path) -> str | None:
    """What is wrong with a safetensors file; None where it is whole."""
    size = path.stat().st_size
    with path.open("rb") as f:
        begin = f.read(len(_LFS))
        if begin == _LFS:
            return "it is the pointer that Git LFS leaves in its place (git lfs pull gets the file)"
        length = int.from_bytes(begin[:8], "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            return f"its header goes on beyond its {size} bytes"
        f.seek(8)
        end = _data_end(f.read(length))
    if end is None:
        return "its header is damaged"
    present = size - 8 - length
    return None if end == present else f"its header speaks of {end} bytes of tensors, there are {present}"


def _data_end(header: bytes) -> int | None:
    """Where the last tensor ends; None where the header isn't one, or its tensors don't follow each other."""
    try:
        tensors = {k: v for k, v in json.loads(header).items() if k != "__metadata__"}
        spans = sorted((int(begin), int(end)) for begin, end in (v["data_offsets"] for v in tensors.values()))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    joined = all(a[1] == b[0] for a, b in pairwise([(0, 0), *spans]))
    return (spans[-1][1] if spans else 0) if joined else None
