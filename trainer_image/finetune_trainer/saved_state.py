"""What DeepSpeed saved, one whole tensor after the other, by however many ranks and whatever stage it was divided."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from finetune_trainer.exit_codes import ExitCode, TrainerError

MOMENTS: Final = ("exp_avg", "exp_avg_sq")
"""Adam's, by torch's names."""

ROUNDED: Final = "__bnb_optimizer_quant_state__"
"""Bitsandbytes' name for that mapping."""

_WEIGHT: Final = "weight"
_KINDS: Final = (_WEIGHT, *MOMENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedTensor:
    """One trained tensor and what its optimizer knows of it."""

    name: str
    weight: torch.Tensor
    """As the optimizer keeps it: in 32 bits."""
    moments: Mapping[str, torch.Tensor]
    """By MOMENTS, in the weight's shape; of ZeRO-0, by bitsandbytes' names where it keeps them in 8 bits."""
    step: float
    """Updates of it so far."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """The state of one group of tensors on one rank, flat: values by kind, and the updates so far."""

    values: Mapping[str, torch.Tensor]
    step: float


def saved_tensors(folder: Path, order: Sequence[str]) -> Iterator[SavedTensor]:
    """Every trained tensor of a complete checkpoint.

    Args:
        folder: of DeepSpeed, in the checkpoint.
        order: names of trained tensors as the optimizer has them, which ZeRO-0 doesn't save.

    Raises:
        TrainerError: INTERNAL, a tensor isn't whole.

    Notes:
        Files are mapped and not read: no more than one tensor is in memory at a time.
    """
    ranks = sorted(folder.glob("*zero_pp_rank_*_optim_states.pt"), key=_rank_of)
    if not ranks:
        yield from _undivided(counters(folder), order)
        return
    parts = [_load(path)["optimizer_state_dict"] for path in ranks]
    shapes = counters(folder)["param_shapes"]
    yield from (_from_tensors if "fp32_flat_groups" in parts[0] else _from_groups)(parts, shapes)


def counters(folder: Path) -> dict[str, Any]:
    """What DeepSpeed saved beside tensors' states: shapes, and how many steps were taken."""
    return _load(min(folder.glob("*mp_rank_00_model_states.pt"), key=lambda path: path.name))


def _rank_of(path: Path) -> int:
    return int(path.name.partition("pp_rank_")[2].partition("_")[0])


def _load(path: Path) -> dict[str, Any]:
    # our own file, held against its digest: it has classes of DeepSpeed's in it
    found: dict[str, Any] = torch.load(path, map_location="cpu", mmap=True, weights_only=False)
    return found


def _undivided(saved: Mapping[str, Any], order: Sequence[str]) -> Iterator[SavedTensor]:
    """Of ZeRO-0, where the first rank saves all."""
    optimizer = saved["optimizer"]
    if "fp32_groups" in optimizer:
        weights = [w for group in optimizer["fp32_groups"] for w in group]
        state = optimizer["optimizer_state_dict"]["state"]
    else:
        weights, state = [saved["module"][name] for name in order], optimizer["state"]
    for index, (name, weight) in enumerate(zip(order, weights, strict=True)):
        # bitsandbytes hides what it has rounded in a mapping of its own
        known = {**state[index], **state[index].get(ROUNDED, {})}
        moments = {kind: value for kind, value in known.items() if torch.is_tensor(value) and kind != "step"}
        yield SavedTensor(name=name, weight=weight, moments=moments, step=float(known["step"]))


def _from_groups(parts: Sequence[Any], shapes: Sequence[Mapping[str, torch.Size]]) -> Iterator[SavedTensor]:
    """Of ZeRO-1 and 2: a group's tensors lie one behind the other, and ranks have stretches of that."""
    for group, tensors in enumerate(shapes):
        pieces = [
            _piece(part["single_partition_of_fp32_groups"][group], part["base_optimizer_state"], group)
            for part in parts
        ]
        for name, shape in tensors.items():
            found = [part["param_slice_mappings"][group].get(name) for part in parts]
            places = [None if f is None else (f.start, f.numel) for f in found]
            yield _joined(name, shape, pieces, places)


def _from_tensors(parts: Sequence[Any], shapes: Sequence[Mapping[str, torch.Size]]) -> Iterator[SavedTensor]:
    """Of ZeRO-3: each tensor is divided evenly, the last part filled up."""
    for group, tensors in enumerate(shapes):
        pieces = [_piece(part["fp32_flat_groups"][group], part["optimizer_state_dict"], group) for part in parts]
        begin = 0
        for name, shape in tensors.items():
            size = -(-shape.numel() // len(parts))
            yield _joined(name, shape, pieces, [(begin, size)] * len(parts))
            begin += size


def _piece(weight: torch.Tensor, optimizer: Mapping[str, Any], group: int) -> _Piece:
    state = optimizer["state"][group]
    return _Piece({_WEIGHT: weight} | {kind: state[kind] for kind in MOMENTS}, float(state["step"]))


def _joined(
    name: str, shape: torch.Size, pieces: Sequence[_Piece], places: Sequence[tuple[int, int] | None]
) -> SavedTensor:
    mine = [(piece, place) for piece, place in zip(pieces, places, strict=True) if place is not None]
    values = {kind: torch.cat([p.values[kind].narrow(0, *place) for p, place in mine]) for kind in _KINDS}
    if any(v.numel() < shape.numel() for v in values.values()):
        raise TrainerError(
            ExitCode.INTERNAL,
            f"the checkpoint's {name} isn't whole; go on with as many ranks as have saved it",
        )
    whole = {kind: value[: shape.numel()].reshape(shape) for kind, value in values.items()}
    moments = {kind: whole[kind] for kind in MOMENTS}
    return SavedTensor(name=name, weight=whole[_WEIGHT], moments=moments, step=mine[0][0].step)
