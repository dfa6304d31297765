"""Bytes of live tensors under torch's fake tensors: what the caching allocator would have handed out."""

import weakref
from collections.abc import Callable
from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BLOCK: Final = 512
"""CUDA's allocator rounds every block up to this."""


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts each storage from the operator that makes it to the moment when nothing refers to it any more."""

    def __init__(self, workspace: Callable[[Any, tuple[Any, ...]], int]) -> None:
        """Count from now on.

        Args:
            workspace: bytes that an operator's kernel takes while it runs, and that its outputs don't show.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.current = 0
        self.peak = 0
        self._live: dict[int, tuple[int, Any]] = {}
        self._workspace = workspace

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        if torch.is_inference_mode_enabled():
            # where nothing records gradients, composed operators come as one: their parts are what makes tensors
            with self:
                parts = func.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        if func is torch.ops.aten.index.Tensor and isinstance(args[0], FakeTensor) and _is_mask(args[1]):
            out = _all_rows(args[0], args[1][0])
        else:
            out = func(*args, **(kwargs or {}))
        self.add(out)
        self.peak = max(self.peak, self.current + self._workspace(func, args))
        return out

    def add(self, tensors: Any) -> None:
        """Count the storages of all tensors in any nest of containers, each once."""
        for leaf in tree_leaves(tensors):
            # a meta tensor has no bytes; a fake one says the device that it stands for
            if isinstance(leaf, torch.Tensor) and leaf.device.type != "meta":
                self._count(leaf.untyped_storage())

    def restart(self) -> None:
        """Let the next phase's peak begin with what is there now."""
        self.peak = self.current

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._live:
            return
        size = -(-storage.nbytes() // BLOCK) * BLOCK
        self._live[key] = (size, weakref.ref(storage, lambda _: self._forget(key)))
        self.current += size

    def _forget(self, key: int) -> None:
        size, _ = self._live.pop(key)
        self.current -= size


def _is_mask(indices: Any) -> bool:
    return len(indices) == 1 and isinstance(indices[0], torch.Tensor) and indices[0].dtype is torch.bool


def _all_rows(source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What a mask selects where it is true everywhere: a fake mask has no values to look at."""
    return source.new_empty((mask.numel(), *source.shape[mask.dim() :]))
