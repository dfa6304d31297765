"""What live tensors hold of a device, by the planner's components: counted by storage, each storage once.

The names of attributes are DeepSpeed 0.19.8's.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import torch

MASTERS: Final = ("single_partition_of_fp32_groups", "fp32_partitioned_groups_flat")
"""Of ZeRO's optimizers: the 32-bit copies that are stepped on (stages 1 and 2; 3). Between two steps torch's optimizer
doesn't hold them all."""

GRADIENTS: Final = ("averaged_gradients", "all_grad_tensors", "grads_in_partition", "grad_partitions_flat_buffer")
"""Of ZeRO's optimizers: gradients beside those at the parameters (stage 1 and 2: the first three; 3: the last)."""


def weigh(engine: Any, accelerator: str) -> dict[str, int]:
    """Bytes on the device by component.

    Args:
        engine: DeepSpeed's.
        accelerator: the job's; what a GPU's run has in RAM isn't on the device.
    """
    kind = "cuda" if accelerator == "GPU" else "cpu"
    seen: set[int] = set()
    return {name: _bytes(tensors, kind, seen) for name, tensors in _components(engine).items()}


def _components(engine: Any) -> dict[str, Iterable[torch.Tensor]]:
    """In the order in which a storage that two hold is counted."""
    sharded = engine.optimizer
    plain = getattr(sharded, "optimizer", sharded)
    parameters: list[Any] = list(engine.module.parameters())
    stepped = list(_tensors([[g["params"] for g in plain.param_groups], _attributes(sharded, MASTERS)]))
    return {
        "weights": (t for p in parameters for t in _weight(p)),
        "optimizer": (*stepped, *_tensors(plain.state)),
        "gradients": _tensors([[p.grad for p in (*parameters, *stepped)], _attributes(sharded, GRADIENTS)]),
        "buckets": _tensors([b.buffer for b in getattr(sharded, "ipg_buckets", {}).values()]),
        # under ZeRO-3 a parameter's own data is what has been put together of all devices' shares
        "gathered": (p.data for p in parameters if hasattr(p, "ds_tensor")),
    }


def _weight(parameter: Any) -> Iterator[torch.Tensor]:
    """A parameter's share on this device, and what 4-bit weights can't be read without."""
    yield from _tensors(getattr(parameter, "ds_tensor", parameter.data))
    yield from _scales(getattr(parameter, "quant_state", None))


def _scales(state: Any) -> Iterator[torch.Tensor]:
    if state is not None:
        yield from _tensors([state.absmax, state.code, state.offset])
        yield from _scales(state.state2)


def _attributes(holder: Any, names: Iterable[str]) -> list[Any]:
    return [getattr(holder, name, None) for name in names]


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """All tensors of a value, through containers of containers."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for child in value.values():
            yield from _tensors(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _tensors(child)


def _bytes(tensors: Iterable[torch.Tensor], kind: str, seen: set[int]) -> int:
    total = 0
    for tensor in tensors:
        if tensor.device.type != kind:
            continue
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            total += storage.nbytes()
    return total
