"""How a workload is run: all that its memory depends on beside the workload."""

from typing import Final, NamedTuple

from finetune_operator.api.spec import Accelerator
from finetune_operator.api.status import Checkpointing
from finetune_operator.planner.facts import Evaluated
from finetune_operator.planner.states import Sharding
from finetune_operator.units import MIB

DRIVER_CONTEXT: Final = 560 * MIB
"""What a CUDA context and its kernels take outside of the allocator, cuBLAS's workspace included: H100's 560 MiB, the
most of any common card (A100 480, consumer 300 to 400, T4 141)."""


class Cut(NamedTuple):
    """How a device's rows of one step are cut, and what is kept of them."""

    micro_batch: int
    accumulation: int
    checkpointing: Checkpointing


class Setting(NamedTuple):
    """How a workload is run: everything that memory depends on; a plain tuple, since planning makes hundreds."""

    accelerator: Accelerator
    sharding: Sharding
    ranks_per_node: int
    micro_batch: int
    length: int
    """Tokens of the longest row: the peak is when it comes."""
    accumulation: int
    checkpointing: Checkpointing
    context: int = DRIVER_CONTEXT
    """What the driver takes of a device."""
    evaluated: Evaluated | None = None
    """How held-out rows are gone through before and after; None: they aren't."""
    packed: bool = False
    """Rows are laid end to end to the full length, so that no place is padded and attention needs no mask."""

    @property
    def cut(self) -> Cut:
        """How its rows are cut."""
        return Cut(self.micro_batch, self.accumulation, self.checkpointing)

    @property
    def tokens(self) -> int:
        """Padded tokens of a micro-batch."""
        return self.micro_batch * self.length

    def padded(self, sequences: int = 1) -> bool:
        """Whether rows of different lengths lie side by side, of so many sequences each."""
        return self.micro_batch * sequences > 1 and not self.packed
