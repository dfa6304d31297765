"""What is trained, as counts: one model and one method, before any choice of hardware."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from finetune_operator.api.spec import Adapter, Method, Objective
from finetune_operator.planner.activations import TokenCost, Trained, token_cost
from finetune_operator.planner.architecture import Architecture, Layer, Linear, adapted_linears
from finetune_operator.planner.inference import DORA_COPIES, LayerPass, pass_through
from finetune_operator.planner.recipe import OURS, Engine, Optimizer, Recipe

SEQUENCES: Final = {Objective.DPO: 2, Objective.ORPO: 2, Objective.REWARD: 2}
"""Sequences that a row is trained as, where it isn't one: the preferred answer and the other go through together."""

REFERENCED: Final = {Objective.DPO: 1, Objective.KTO: 2}
"""Forward passes over all rows before the first step, of objectives that compare with the model as it was: it is asked
once, and no second copy of it is kept."""

ASIDE: Final = {Objective.KTO: 1}
"""Forward passes that every row takes beside its own: KTO measures how far answers that belong elsewhere have moved."""


SMALLEST_IN_8_BITS: Final = 4096
"""Elements of a tensor below which bitsandbytes keeps its moments in 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workload:
    """A model and a method; compared and hashed by identity, so that what follows from one is found again quickly."""

    architecture: Architecture
    method: Method
    trainable: int
    """Parameters that get gradients and optimizer state."""
    frozen: int
    """Parameters that stay as they are, quantised ones counted as what they stand for."""
    quantised: int
    """Of the frozen ones: weights kept in four bits."""
    costs: tuple[TokenCost, ...]
    """What a token's activations cost, for each kind of layer."""
    passes: tuple[LayerPass, ...]
    """What a token takes in a forward pass that keeps nothing, for each kind of layer."""
    unpacked: int
    """Elements of the largest matrix that is unpacked for a moment, a 4-bit weight; 0 where there is none."""
    merged: int
    """Most elements that DoRA takes to measure one weight's rows: a square matrix of ones as wide as the inputs, by
    which PEFT multiplies the adapter out, and copies of the weight; 0 without DoRA."""
    objective: Objective
    recipe: Recipe
    wide_moments: int
    """Trainable parameters whose moments an 8-bit optimizer keeps in 32 bits: small tensors, and embeddings."""
    largest_trained: int
    """Elements of the largest tensor that is stepped on."""

    @property
    def eight_bit(self) -> bool:
        """Whether our own trainer keeps moments in 8 bits."""
        return self.recipe.engine is Engine.DEEPSPEED and self.recipe.optimizer is Optimizer.ADAMW_8BIT

    @property
    def parameters(self) -> int:
        """All parameters on the device, the adapter's included."""
        return self.trainable + self.frozen

    def forward_passes(self, epochs: float) -> float:
        """Forward passes of a row in an epoch beside those that it learns from, on average over so many epochs."""
        return ASIDE.get(self.objective, 0) + REFERENCED.get(self.objective, 0) / epochs

    @property
    def sequences(self) -> int:
        """Sequences that a row is trained as."""
        return SEQUENCES.get(self.objective, 1)


def read_workload(
    architecture: Architecture,
    method: Method,
    adapter: Adapter,
    objective: Objective = Objective.SFT,
    recipe: Recipe = OURS,
) -> Workload:
    """The counts of one method.

    Raises:
        InvalidManifestError: a target of the adapter isn't a linear module of this model.
    """
    recipe = recipe if architecture.sdpa else replace(recipe, eager=True)
    total = architecture.total_parameters
    if objective is Objective.REWARD:
        # one score in place of the output head
        total -= (0 if architecture.tied else architecture.embedding_parameters) - architecture.hidden
    full, dora, quantised = method is Method.FULL, method is Method.DORA, method is Method.QLORA
    trained = _trained(architecture, method, adapter, recipe)
    modules = [] if full else [m for t in trained for m in t.modules]
    adapters = sum(t.layer.count * _adapter_parameters(t.modules, adapter.rank, dora=dora) for t in trained)
    # the score is trained whole beside an adapter
    adapters += architecture.hidden if objective is Objective.REWARD else 0
    return Workload(
        architecture=architecture,
        method=method,
        trainable=total if full else adapters,
        frozen=0 if full else total,
        quantised=_quantised(architecture, recipe) if quantised else 0,
        costs=tuple(token_cost(t) for t in trained),
        passes=tuple(pass_through(t) for t in trained),
        unpacked=_unpacked(architecture, recipe) if quantised else 0,
        merged=max((m.inputs * (m.inputs + DORA_COPIES * m.outputs) for m in modules), default=0) if dora else 0,
        objective=objective,
        recipe=recipe,
        wide_moments=_wide_of_all(architecture) if full else _wide_of_adapters(trained, adapter.rank, dora=dora),
        largest_trained=architecture.largest_tensor if full else max(_tensors(modules, adapter.rank), default=0),
    )


workload_of = lru_cache(maxsize=256)(read_workload)
"""The same counts, found again for as long as they are remembered, with all that was worked out from them: jobs come
again with every change of the cluster, and others train the same models."""


def _trained(architecture: Architecture, method: Method, adapter: Adapter, recipe: Recipe) -> tuple[Trained, ...]:
    """Every kind of layer with the modules that are trained there."""
    full = method is Method.FULL
    found: Iterable[tuple[Layer, tuple[Linear, ...]]] = (
        [(g, g.linears) for g in architecture.groups] if full else adapted_linears(architecture, adapter.target_modules)
    )
    return tuple(
        Trained(
            architecture=architecture,
            layer=layer,
            method=method,
            modules=modules,
            rank=0 if full else adapter.rank,
            dropout=not full and float(adapter.dropout) > 0,
            recipe=recipe,
        )
        for layer, modules in found
    )


def _adapter_parameters(modules: tuple[Linear, ...], rank: int, *, dora: bool) -> int:
    """Two matrices a module, and with DoRA a magnitude for each output."""
    return sum(rank * (m.inputs + m.outputs) + (m.outputs if dora else 0) for m in modules)


def _wide_of_all(architecture: Architecture) -> int:
    """Of a whole model: the table of embeddings, and what is in no linear module, such as norms."""
    layers = sum(
        g.count * (g.parameters - g.linear_weights - g.feed_forward.expert_parameters) for g in architecture.groups
    )
    return architecture.embedding_parameters + architecture.other_parameters + layers


def _wide_of_adapters(trained: tuple[Trained, ...], rank: int, *, dora: bool) -> int:
    """Of adapters: matrices and magnitudes that are small."""
    return sum(
        t.layer.count * sum(n for n in _tensors(t.modules, rank, dora=dora) if n < SMALLEST_IN_8_BITS) for t in trained
    )


def _tensors(modules: Iterable[Linear], rank: int, *, dora: bool = False) -> Iterator[int]:
    """Elements of each tensor of adapters."""
    for m in modules:
        yield from (rank * m.inputs, rank * m.outputs)
        if dora:
            yield m.outputs


def _unpacked(architecture: Architecture, recipe: Recipe) -> int:
    """Elements of the largest weight that is kept in four bits; 0 where none is."""
    linears = (m for g in architecture.groups for m in g.linears if m.quantisable or recipe.experts_apart)
    return max((m.inputs * m.outputs for m in linears), default=0)


def _quantised(architecture: Architecture, recipe: Recipe) -> int:
    """Weights that bitsandbytes reaches: linear modules, but neither the head nor routed experts in one tensor."""
    layers = sum(
        g.count * sum(m.inputs * m.outputs for m in g.linears if m.quantisable or recipe.experts_apart)
        for g in architecture.groups
    )
    if not recipe.experts_apart:
        return layers
    return layers + sum(g.count * g.feed_forward.expert_parameters for g in architecture.groups)
