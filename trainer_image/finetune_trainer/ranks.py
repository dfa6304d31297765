"""The processes that train one model together: what they agree on, and the proof that they are what was planned."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import torch
from torch import distributed, nn

from finetune_trainer.exit_codes import ExitCode, TrainerError

T = TypeVar("T")

PATIENCE: Final = timedelta(days=1)
"""How long a rank waits for another's word: one that dies is noticed at once, and one that hashes a large model isn't
dead."""

COMPARED_TENSORS: Final = 8
"""Tensors of a model that are compared between ranks, spread over all of it."""

COMPARED_VALUES: Final = 1 << 20
"""Values of each of them, from its beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among those of the run; every method is called by all of them, in the same order."""

    rank: int
    size: int
    control: Any = None
    """Group that words are passed in, through the host's memory: no device waits for them. None where there is one
    rank."""

    @property
    def first(self) -> bool:
        """The one that writes and speaks for all."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:  # noqa: FBT001  a word, not an option
        """Whether it is so on one of them."""
        if self.control is None:
            return flag
        found = torch.tensor([int(flag)])
        distributed.all_reduce(found, distributed.ReduceOp.MAX, group=self.control)
        return bool(found.item())

    def wait(self) -> None:
        """Go on once all are here."""
        self.any(flag=False)

    def ask_first(self, work: Callable[[], T]) -> T:
        """What the first one finds or does, known to all once it is done."""
        if self.control is None:
            return work()
        said: list[Any] = [work() if self.first else None]
        distributed.broadcast_object_list(said, src=0, group=self.control)
        found: T = said[0]
        return found

    def gather(self, word: T) -> list[T]:
        """Everyone's word, in the order of ranks."""
        if self.control is None:
            return [word]
        said: list[Any] = [None] * self.size
        distributed.all_gather_object(said, word, group=self.control)
        return said


ALONE: Final = Ranks(rank=0, size=1)
"""One process that trains by itself."""


def join() -> Ranks:
    """The ranks that the process group has brought together."""
    size = distributed.get_world_size()
    if size == 1:
        return ALONE
    group = distributed.new_group(backend="gloo", timeout=PATIENCE)
    return Ranks(rank=distributed.get_rank(), size=size, control=group)


def prove_devices(planned: int, device: str, ranks: Ranks) -> None:
    """Hold the ranks that are there against the plan.

    Args:
        planned: number of ranks.
        device: what names this rank's device, and no other's.
        ranks: all of them.

    Raises:
        TrainerError: WORLD_SIZE_MISMATCH, another number of ranks, or two on one device.
    """
    check_devices(planned, ranks.gather(device))


def check_devices(planned: int, found: Sequence[str]) -> None:
    """Hold the devices of all ranks against the plan.

    Raises:
        TrainerError: as prove_devices.
    """
    if len(found) != planned:
        raise TrainerError(
            ExitCode.WORLD_SIZE_MISMATCH,
            f"the plan is for {planned} ranks, {len(found)} came together; start it by "
            "python -m finetune_trainer.launch job.json",
        )
    shared = [name for name, count in Counter(found).items() if count > 1]
    if shared:
        of_it = " and ".join(str(i) for i, name in enumerate(found) if name == shared[0])
        raise TrainerError(
            ExitCode.WORLD_SIZE_MISMATCH,
            f"ranks {of_it} were given the same device ({shared[0]}); give each rank its own in CUDA_VISIBLE_DEVICES",
        )


def prove_same_model(model: nn.Module, ranks: Ranks) -> None:
    """Hold the ranks' models against each other before they are trained as one.

    Raises:
        TrainerError: WORLD_SIZE_MISMATCH, a rank begins with other values.
    """
    if ranks.size == 1:
        return
    found = ranks.gather(checksum(model))
    different = [str(i) for i, digest in enumerate(found) if digest != found[0]]
    if different:
        raise TrainerError(
            ExitCode.WORLD_SIZE_MISMATCH,
            f"rank {' and '.join(different)} begins with another model than rank 0; let all ranks read the same "
            "model.path, and start again",
        )


def checksum(model: nn.Module) -> str:
    """One digest of some of a model's values: of its first and last tensors, and of some in between."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    frozen = [p for p in model.parameters() if not p.requires_grad]
    digest = hashlib.sha256()
    for parameter in (*_spread(trainable), *_spread(frozen)):
        values = parameter.detach().flatten()[:COMPARED_VALUES].contiguous().cpu()
        digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _spread(parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    half = COMPARED_TENSORS // 2
    last = len(parameters) - 1
    places = {round(i * last / (half - 1)) for i in range(half)} if parameters else set()
    return [parameters[i] for i in sorted(places)]
