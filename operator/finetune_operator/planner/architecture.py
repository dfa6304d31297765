"""What a model is made of, read from its config.json: exact to the parameter, without loading it."""

from collections.abc import Mapping
from typing import Any, Final

from finetune_operator.api.spec import ALL_LINEAR
from finetune_operator.exceptions import InvalidManifestError, UnsupportedArchitectureError
from finetune_operator.planner.config_fields import Fields
from finetune_operator.planner.families import FAMILIES
from finetune_operator.planner.families.family import Family
from finetune_operator.planner.families.refused import REFUSED
from finetune_operator.planner.families.sizing import size_layers
from finetune_operator.planner.layers import Architecture, Attention, FeedForward, Layer, Linear, Norm

__all__ = [
    "Architecture",
    "Attention",
    "FeedForward",
    "Layer",
    "Linear",
    "Norm",
    "adapted_linears",
    "adapted_modules",
    "read_architecture",
]

DEQUANTISED: Final[Mapping[str, str]] = {"gpt_oss": "mxfp4"}
"""How repositories are quantised that train all the same, by family: transformers makes 16-bit weights of theirs."""
HEAD_CLASSES: Final = ("ForCausalLM", "LMHeadModel")
"""How the classes of causal language models end."""


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a config.json describes.

    Raises:
        UnsupportedArchitectureError: the family isn't known, the weights are quantised, or a field is missing or wrong.
    """
    name = _class_name(config)
    known_as = _family(config, name)
    family = FAMILIES[known_as]
    fields = Fields(config=config, name=name, spelled=family.spelled)
    _check_fixed(family, fields)
    groups = size_layers(family, fields)
    hidden, vocab = fields.count("hidden_size"), fields.count("vocab_size")
    positions = fields.count_or("max_position_embeddings", family.max_positions)
    return Architecture(
        name=name,
        family=known_as,
        hidden=hidden,
        vocab=vocab,
        tied=fields.flag("tie_word_embeddings", default=family.tied),
        norm=family.norm,
        softcapped=_softcapped(family, fields),
        max_positions=positions,
        groups=groups,
        other_parameters=_outside(family, fields, positions),
        dequantised="quantization_config" in config,
        expert_targets=() if family.experts is None else family.experts.targets,
        sdpa=family.sdpa,
    )


TABLES: Final = frozenset({"lm_head", "embed_tokens", "embed_in", "embed_out", "wte", "word_embeddings"})
"""What families call the table of embeddings and the output head. An adapter on one of two that are the same table
would be lost, or count twice, where it is merged."""


def adapted_modules(architecture: Architecture, targets: tuple[str, ...]) -> tuple[Linear, ...]:
    """The modules that an adapter is put on, each name once.

    Raises:
        InvalidManifestError: a target isn't a linear module of this model; the real ones are listed.
    """
    _check_targets(architecture, targets)
    return _chosen(architecture, architecture.linears, targets)


def adapted_linears(
    architecture: Architecture,
    targets: tuple[str, ...],
) -> tuple[tuple[Layer, tuple[Linear, ...]], ...]:
    """For each kind of layer, the modules that an adapter is put on.

    That is neither the output head nor routed experts, which aren't linear modules in transformers 5, nor modules that
    PEFT takes for routed experts. A name that comes twice in a layer is adapted twice.

    Raises:
        InvalidManifestError: a target isn't a linear module of this model; the real ones are listed.
    """
    _check_targets(architecture, targets)
    return tuple((layer, _chosen(architecture, layer.linears, targets)) for layer in architecture.groups)


def _check_targets(architecture: Architecture, targets: tuple[str, ...]) -> None:
    names = [m.name for m in architecture.linears if m.name not in architecture.expert_targets]
    for target in targets:
        if target in architecture.expert_targets:
            raise InvalidManifestError(
                f"spec.adapter.targetModules: {target} stands for the routed experts of {architecture.name}, which "
                f"aren't adapted in this version; write some of {', '.join(names)} (or {ALL_LINEAR})",
            )
        if target in TABLES and target not in names:
            tied = ", one table in this model" if architecture.tied else ""
            raise InvalidManifestError(
                f"spec.adapter.targetModules: {target} is of the embeddings and the output head{tied}, which aren't "
                f"adapted in this version; write some of {', '.join(names)} (or {ALL_LINEAR})",
            )
        if target != ALL_LINEAR and target not in names:
            raise InvalidManifestError(
                f"spec.adapter.targetModules: {target} is not in {architecture.name}; it has {', '.join(names)} "
                f"(or write {ALL_LINEAR})",
            )


def _chosen(architecture: Architecture, linears: tuple[Linear, ...], targets: tuple[str, ...]) -> tuple[Linear, ...]:
    if ALL_LINEAR in targets:
        return tuple(m for m in linears if m.name not in architecture.expert_targets)
    return tuple(m for m in linears if m.name in targets)


def _class_name(config: Mapping[str, Any]) -> str:
    listed = config.get("architectures")
    if isinstance(listed, list | tuple) and listed:
        return str(listed[0])
    return f"a model of type {config.get('model_type', 'unknown')}"


def _family(config: Mapping[str, Any], name: str) -> str:
    """The family, once everything that we can't train has been turned away."""
    for key, what in (("vision_config", "reads images"), ("audio_config", "reads sound")):
        if key in config:
            raise UnsupportedArchitectureError(
                f"config.json: {name} {what}; only text models are trained in this version, {_known()}",
            )
    family = config.get("model_type")
    if not isinstance(family, str):
        raise UnsupportedArchitectureError(f"config.json: model_type is missing; it names the family, {_known()}")
    if family in REFUSED:
        raise UnsupportedArchitectureError(f"config.json: {name} ({family}) {REFUSED[family]}; {_known()}")
    if family not in FAMILIES:
        raise UnsupportedArchitectureError(f"config.json: the family {family} ({name}) isn't known; {_known()}")
    if "quantization_config" in config and _quantiser(config) != DEQUANTISED.get(family):
        raise UnsupportedArchitectureError(
            f"config.json: the weights of {name} are already quantised ({_quantiser(config)}); take the repository "
            "with its 16-bit weights",
        )
    if "architectures" in config and not name.endswith(HEAD_CLASSES):
        raise UnsupportedArchitectureError(
            f"config.json: {name} isn't a causal language model; take the base or instruct model of that family",
        )
    return family


def _known() -> str:
    return f"known are {', '.join(FAMILIES)}"


def _quantiser(config: Mapping[str, Any]) -> str:
    found = config["quantization_config"]
    return str(found.get("quant_method", "unnamed method")) if isinstance(found, Mapping) else "unnamed method"


def _check_fixed(family: Family, fields: Fields) -> None:
    """Turns away what a key of this family changes and we don't size."""
    for key, wanted in family.only.items():
        found = fields.value(key)
        allowed = fields.count(wanted) if isinstance(wanted, str) else wanted
        if found is not None and found != allowed:
            written = str(allowed).lower() if isinstance(allowed, bool) else str(allowed)
            raise UnsupportedArchitectureError(
                f"config.json: {fields.name} is sized where {key} is {written} only; it is {found!r}",
            )


def _softcapped(family: Family, fields: Fields) -> bool:
    if family.softcap is None:
        return False
    key, default = family.softcap
    return bool(fields.value(key)) if fields.has(key) else default


def _outside(family: Family, fields: Fields, positions: int) -> int:
    """Parameters outside of layers, embedding table and head."""
    hidden = fields.count("hidden_size")
    norms = 2 if family.embedding_norm else 1
    table = 0 if family.positions is None else (positions + family.positions) * hidden
    head_bias = fields.count("vocab_size") if family.head_bias.read(fields) else 0
    return norms * family.norm_vectors * hidden + table + head_bias
