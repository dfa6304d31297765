"""Memory of the output head and its loss, and of the head's gradient."""

from typing import Final

from finetune_operator.api.spec import Accelerator, Method, Objective
from finetune_operator.planner.activations import WIDE
from finetune_operator.planner.architecture import Norm
from finetune_operator.planner.recipe import Head, Kernels
from finetune_operator.planner.setting import Setting
from finetune_operator.planner.states import ELEMENT_BYTES
from finetune_operator.planner.workload import Workload

TILE_TOKENS: Final = 4096
"""Rows of the tile in which TRL 1.16 computes the output head."""

TILE_VOCABULARY: Final = 32_768
"""Columns of that tile; the buffer has them all even for a smaller vocabulary, which only a GPU pays for: a CPU's
memory is taken when it is first written to."""

CPU_TILE_BYTES: Final = 32
"""Without Triton the loss of a tile is computed by torch operators, in 32 bits: at most eight copies of it at once."""


def logits_bytes(workload: Workload, setting: Setting) -> int:
    """The output head and its loss at the moment of the most."""
    if workload.objective is Objective.REWARD:
        return 0
    tokens = setting.tokens * workload.sequences
    match workload.recipe.head:
        case Head.TILED:
            return _tiled(workload, setting, tokens)
        case Head.CHUNKED:
            return _chunked(workload, setting, tokens)
        case Head.WHOLE:
            return _whole(workload, setting, tokens)


def _tiled(workload: Workload, setting: Setting, tokens: int) -> int:
    """TRL's fused head: one tile of logits, the head's input and its gradient, the head's own gradient."""
    element, hidden = ELEMENT_BYTES[setting.sharding.precision], workload.architecture.hidden
    # what the last norm keeps, the rows that the head reads, their gradient in 32 bits
    rows = tokens * (_normed(workload, element) + WIDE * hidden)
    return tile_bytes(workload, setting) + rows + _head_gradient(workload, WIDE + element)


def _chunked(workload: Workload, setting: Setting, tokens: int) -> int:
    """So few rows at a time that their logits are as large as the head's input; its gradient is made at once."""
    a, element = workload.architecture, ELEMENT_BYTES[setting.sharding.precision]
    rows = -(-tokens * a.hidden // a.vocab)
    logits = rows * a.vocab * (element + WIDE)
    return logits + tokens * (_normed(workload, element) + element * a.hidden) + _head_gradient(workload, element)


def _whole(workload: Workload, setting: Setting, tokens: int) -> int:
    """All logits, in as many copies as the recipe says."""
    element = ELEMENT_BYTES[setting.sharding.precision]
    return tokens * (workload.architecture.vocab * workload.recipe.logit_bytes + _normed(workload, element))


def _normed(workload: Workload, element: int) -> int:
    """Bytes a token that the last norm keeps, and what it makes."""
    plain = workload.recipe.kernels is Kernels.PLAIN and workload.architecture.norm is not Norm.LAYER
    return workload.architecture.hidden * ((WIDE if plain else element) + element)


def tile_columns(workload: Workload, setting: Setting) -> int:
    """Entries of the vocabulary that a tile of logits takes memory for."""
    on_cpu = setting.accelerator is Accelerator.CPU
    return min(workload.architecture.vocab, TILE_VOCABULARY) if on_cpu else TILE_VOCABULARY


def tile_bytes(workload: Workload, setting: Setting) -> int:
    """One tile of logits, with what a CPU needs beside it."""
    if workload.recipe.head is not Head.TILED or workload.objective is Objective.REWARD:
        return 0
    element, columns = ELEMENT_BYTES[setting.sharding.precision], tile_columns(workload, setting)
    logits = min(setting.tokens * workload.sequences, TILE_TOKENS) * columns
    if setting.accelerator is not Accelerator.CPU:
        return logits * element
    return logits * (element + CPU_TILE_BYTES) + head_copy_bytes(workload, setting)


def head_copy_bytes(workload: Workload, setting: Setting) -> int:
    """A tile's part of the head, which a CPU copies to multiply in 32 bits where it has fewer."""
    if setting.accelerator is not Accelerator.CPU or ELEMENT_BYTES[setting.sharding.precision] == WIDE:
        return 0
    return WIDE * tile_columns(workload, setting) * workload.architecture.hidden


def head_gradient_bytes(workload: Workload, setting: Setting) -> int:
    """The head's own gradient while the layers' backward passes run.

    A tied one waits there for the embedding's; another is added to what earlier micro-batches left, if there were any.
    """
    if setting.accumulation > 1 and not workload.architecture.tied:
        return 0
    return _head_gradient(workload, ELEMENT_BYTES[setting.sharding.precision])


def embedding_gradient_bytes(workload: Workload, setting: Setting) -> int:
    """A tied embedding gets a second gradient of the same size before the two are added."""
    if not workload.architecture.tied:
        return 0
    return _head_gradient(workload, ELEMENT_BYTES[setting.sharding.precision])


def _head_gradient(workload: Workload, width: int) -> int:
    trained = workload.method is Method.FULL and workload.objective is not Objective.REWARD
    return width * workload.architecture.embedding_parameters if trained else 0
