"""Which layers look back a window only, and which have routed experts: the rules of configuration classes."""

from collections.abc import Callable
from typing import TypeAlias

from finetune_operator.exceptions import UnsupportedArchitectureError
from finetune_operator.planner.config_fields import Fields

Pattern: TypeAlias = Callable[[Fields, int], tuple[int | None, ...]]
"""From the fields and the number of layers, how many tokens each layer looks back at most; None: all."""
Sparse: TypeAlias = Callable[[Fields, int], tuple[bool, ...]]
"""From the fields and the number of layers, which layers have routed experts."""


def nowhere(_: Fields, layers: int) -> tuple[int | None, ...]:
    """Every layer looks back at all tokens."""
    return (None,) * layers


def everywhere(default: int | None = None, switch: str | None = None) -> Pattern:
    """All layers look back sliding_window tokens; where there is a switch, only if it is on."""

    def read(fields: Fields, layers: int) -> tuple[int | None, ...]:
        on = switch is None or fields.flag(switch, default=False)
        return (_window(fields, default) if on else None,) * layers

    return read


def listed(
    default: int | None,
    otherwise: Callable[[Fields, int], bool],
    switch: str | None = None,
) -> Pattern:
    """Layers named sliding_attention in layer_types; without that list, those of which otherwise says so.

    Args:
        default: the window where sliding_window is absent.
        otherwise: from the fields and a layer's number, counted from 0.
        switch: a key that has to be on for there to be a window at all.
    """

    def read(fields: Fields, layers: int) -> tuple[int | None, ...]:
        on = switch is None or fields.flag(switch, default=False)
        window = _window(fields, default) if on else None
        kinds = fields.texts("layer_types", layers)
        if kinds is None:
            return tuple(window if window and otherwise(fields, i) else None for i in range(layers))
        return tuple(_kind(fields, kind, window) for kind in kinds)

    return read


def all_but_each(every: int, key: str | None = None) -> Callable[[Fields, int], bool]:
    """All but each so-manieth layer: the 6th, 12th, ...; the number may have a key of its own."""

    def otherwise(fields: Fields, layer: int) -> bool:
        return (layer + 1) % (every if key is None else fields.count_or(key, every)) != 0

    return otherwise


def all_but_first_of(every: int) -> Callable[[Fields, int], bool]:
    """All but the 1st layer of each so many."""
    return lambda _, layer: layer % every != 0


def from_max_window_layers(default: int) -> Callable[[Fields, int], bool]:
    """The layers from max_window_layers on."""
    return lambda fields, layer: layer >= fields.number("max_window_layers", default)


def odd_below_max_window_layers(fields: Fields, layer: int) -> bool:
    """Each second layer, as long as it is below max_window_layers (Qwen2-MoE)."""
    return (layer + 1) % 2 != 0 and layer < fields.number("max_window_layers", 28)


def without_rope(fields: Fields, layer: int) -> bool:
    """The layers without rotary positions (SmolLM3)."""
    rope = fields.numbers("no_rope_layers")
    if layer < len(rope):
        return not rope[layer]
    return (layer + 1) % fields.count_or("no_rope_layer_interval", 4) == 0


def never(_: Fields, __: int) -> bool:
    """No layer, unless layer_types says so."""
    return False


def always(_: Fields, __: int) -> bool:
    """Every layer, unless layer_types says otherwise."""
    return True


def gpt_neo_windows(fields: Fields, layers: int) -> tuple[int | None, ...]:
    """GPT-Neo's attention_types: lists of kinds, each with how often it is repeated."""
    window = fields.count_or("window_size", 256)
    try:
        rows: list[tuple[list[str], int]] = fields.value("attention_types") or [(["global", "local"], 12)]
        found = [kind for kinds, times in rows for _ in range(times) for kind in kinds]
    except (TypeError, ValueError):
        raise UnsupportedArchitectureError(
            f"config.json: attention_types is {fields.value('attention_types')!r}; it has to be a list of pairs: kinds "
            "of layers, and how often these come",
        ) from None
    if len(found) != layers:
        raise UnsupportedArchitectureError(
            f"config.json: attention_types needs one entry for each of the {layers} layers; it has {len(found)}",
        )
    return tuple(window if kind == "local" else None for kind in found)


def after_first(key: str, default: int) -> Sparse:
    """All but the first so many layers."""
    return lambda fields, layers: tuple(i >= fields.number(key, default) for i in range(layers))


def listed_sparse(otherwise: Sparse) -> Sparse:
    """Layers named sparse in mlp_layer_types; without that list, as otherwise says."""

    def read(fields: Fields, layers: int) -> tuple[bool, ...]:
        kinds = fields.texts("mlp_layer_types", layers)
        return otherwise(fields, layers) if kinds is None else tuple(kind == "sparse" for kind in kinds)

    return read


def each_step(fields: Fields, layers: int) -> tuple[bool, ...]:
    """Each decoder_sparse_step-th layer, but for those in mlp_only_layers (Qwen)."""
    dense, step = fields.numbers("mlp_only_layers"), fields.count_or("decoder_sparse_step", 1)
    return tuple(i not in dense and (i + 1) % step == 0 for i in range(layers))


def ernie_sparse(fields: Fields, layers: int) -> tuple[bool, ...]:
    """From moe_layer_start_index to moe_layer_end_index, each moe_layer_interval-th (Ernie 4.5)."""
    start, step = fields.number("moe_layer_start_index", 1), fields.count_or("moe_layer_interval", 1)
    last = layers - 1
    end = last if fields.value("moe_layer_end_index") == -1 else fields.number("moe_layer_end_index", last)
    return tuple((i + 1) % step == 0 and start <= i <= end for i in range(layers))


def _window(fields: Fields, default: int | None) -> int | None:
    if fields.value("sliding_window") is None:
        return None if fields.has("sliding_window") else default
    return fields.number("sliding_window", 0) or None


def _kind(fields: Fields, kind: str, window: int | None) -> int | None:
    if kind == "sliding_attention":
        return window
    if kind == "full_attention":
        return None
    raise UnsupportedArchitectureError(
        f"config.json: layer_types has {kind}; {fields.name} is sized with full_attention and sliding_attention only",
    )
