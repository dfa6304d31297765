"""The planner reads from config.json what transformers builds: every family, and every model of the catalogue."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from finetune_operator.planner.architecture import Architecture, adapted_linears, read_architecture
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_operator.planner.families import FAMILIES

RANK: Final = 8
SIZES: Final = {
    "hidden_size": 64,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "vocab_size": 128,
}
KV: Final = {"num_key_value_heads": 2}
HEAD: Final = {"head_dim": 16}
EXPERTS: Final = {"num_experts_per_tok": 2, "moe_intermediate_size": 48}
MLA: Final = {"kv_lora_rank": 24, "q_lora_rank": 40, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16}
# what a family needs besides the sizes: transformers' defaults fit only models of the usual size
NEEDED: Final[Mapping[str, Mapping[str, Any]]] = {
    "qwen2_moe": {"num_experts": 4, "shared_expert_intermediate_size": 32, "mlp_only_layers": [1]},
    "qwen3_moe": {"num_experts": 4, "decoder_sparse_step": 2},
    "phimoe": {"num_local_experts": 4, "lm_head_bias": True},
    "granitemoeshared": {"num_local_experts": 4, "shared_intermediate_size": 32},
    "granitemoe_swa": {"num_local_experts": 4, "shared_intermediate_size": 32},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 2, "first_k_dense_replace": 1},
    "deepseek_v2": MLA | {"n_routed_experts": 4, "first_k_dense_replace": 1},
    "deepseek_v3": MLA | {"n_routed_experts": 4},
    "glm4_moe_lite": MLA | {"n_routed_experts": 4},
    "youtu": MLA,
    "minicpm3": {"kv_lora_rank": 24, "q_lora_rank": 40},
    "glm4_moe": {"n_routed_experts": 4, "use_qk_norm": True},
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_k": 2, "moe_layer_end_index": -1},
    "gpt_neo": {"attention_types": [[["global", "local"], 2], [["global"], 1]]},
}


def small(family: str) -> dict[str, Any]:
    """A model of that family with all its kinds of layers."""
    rules = FAMILIES[family]
    sizes = {rules.spelled.get(key, key) if family != "falcon" else key: value for key, value in SIZES.items()}
    width = {} if rules.width is None else {rules.width: 96}
    experts: dict[str, Any] = {}
    if rules.experts is not None:
        experts = EXPERTS | {rules.spelled.get(rules.experts.count, rules.experts.count): 4}
    head = (
        {} if family in {"falcon", "minicpm3"} or "deepseek" in family or family in {"youtu", "glm4_moe_lite"} else HEAD
    )
    return (
        {"model_type": family, "pad_token_id": 0} | sizes | width | KV | head | experts | dict(NEEDED.get(family, {}))
    )


VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "llama-biases": small("llama") | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "llama-kv-null": small("llama") | {"num_key_value_heads": None, "head_dim": None},
    "mistral-window-null": small("mistral") | {"sliding_window": None},
    "qwen2-window": small("qwen2") | {"use_sliding_window": True, "max_window_layers": 2},
    "qwen3-moe-all-sparse": small("qwen3_moe") | {"decoder_sparse_step": 1, "tie_word_embeddings": True},
    "gemma3-pattern": small("gemma3_text") | {"sliding_window_pattern": 2, "tie_word_embeddings": False},
    "gemma2-no-cap": small("gemma2") | {"final_logit_softcapping": None},
    "smollm3-window": small("smollm3") | {"use_sliding_window": True, "sliding_window": 16},
    "cohere-qk-norm": small("cohere") | {"use_qk_norm": True},
    "cohere2-listed": small("cohere2") | {"layer_types": ["full_attention"] + ["sliding_attention"] * 4},
    "stablelm-qk-norm": small("stablelm") | {"qk_layernorm": True, "use_qkv_bias": True, "use_parallel_residual": True},
    "phi-qk-norm": small("phi") | {"qk_layernorm": True},
    "persimmon-no-qk-norm": small("persimmon") | {"qk_layernorm": False},
    "falcon-new": small("falcon") | {"new_decoder_architecture": True, "num_kv_heads": 2},
    "falcon-one-norm": small("falcon")
    | {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
    "falcon-rw": small("falcon") | {"multi_query": False, "parallel_attn": False, "bias": True, "alibi": True},
    "bigcode-all-heads": small("gpt_bigcode") | {"multi_query": False, "n_inner": None},
    "gpt-neox-no-bias": small("gpt_neox") | {"attention_bias": False, "tie_word_embeddings": True},
    "starcoder2-no-bias": small("starcoder2") | {"use_bias": False, "tie_word_embeddings": False},
    "opt-no-bias": small("opt") | {"enable_bias": False},
    "deepseek-v2-lite": small("deepseek_v2") | {"q_lora_rank": None, "mlp_bias": True},
    "deepseek-v3-biases": small("deepseek_v3") | {"attention_bias": True, "n_shared_experts": 2},
    "gpt-oss-no-bias": small("gpt_oss") | {"attention_bias": False},
    "ernie-moe-biases": small("ernie4_5_moe")
    | {"use_bias": True, "moe_layer_interval": 2, "moe_num_shared_experts": 0},
    "exaone-moe-listed": small("exaone_moe") | {"mlp_layer_types": ["dense", "dense", "sparse", "dense", "sparse"]},
    "hyperclovax-two-norms": small("hyperclovax") | {"use_post_norm": False},
    "seed-oss-all-biases": small("seed_oss") | {"attention_out_bias": True, "mlp_bias": True},
}


def _cases() -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Id, config.json, and whether adapters are held against PEFT's."""
    yield from ((family, small(family), True) for family in FAMILIES)
    yield from ((name, config, True) for name, config in VARIANTS.items())
    seen: set[int] = set()
    for repo, config in CATALOGUE.items():
        if id(config) not in seen:
            seen.add(id(config))
            yield repo, config, False


CASES: Final = {name: (config, adapter) for name, config, adapter in _cases()}


def targets(config: Mapping[str, Any]) -> str | list[str]:
    """What PEFT is told: all-linear, or names where it would take that for routed experts, too."""
    architecture = read_architecture(config)
    if not architecture.expert_targets:
        return "all-linear"
    return sorted({m.name for _, modules in adapted_linears(architecture, ("all-linear",)) for m in modules})


@pytest.fixture(scope="module")
def real() -> dict[str, dict[str, Any]]:
    """Facts of the real models; made in another process, since this one must not touch a tensor before it forks."""
    cases = [{"config": config, "targets": targets(config) if adapter else None} for config, adapter in CASES.values()]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.training.meta_models"],
        input=json.dumps(cases),
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_model_is_read_as_transformers_builds_it(case: str, real: dict[str, dict[str, Any]]) -> None:
    config, adapter = CASES[case]
    ours, theirs = read_architecture(config), real[case]
    assert ours.total_parameters == theirs["total"]
    assert sorted([*module, count] for module, count in linears(ours).items()) == theirs["linears"]
    assert sum(g.count * g.feed_forward.expert_parameters for g in ours.groups) == theirs["experts"]
    assert ours.sdpa == theirs["sdpa"]
    assert ours.max_positions == (theirs["max_positions"] or ours.max_positions)
    assert ours.softcapped == theirs["softcapped"]
    if "architectures" in config:
        assert ours.name.casefold() == theirs["name"].casefold()
    if theirs["layer_types"] is not None:
        window = theirs["window"]
        wanted = Counter((window or None) if t == "sliding_attention" else None for t in theirs["layer_types"])
        assert windows(ours) == wanted
    if adapter:
        assert trained(ours, magnitudes=0) == theirs["lora"]
        assert trained(ours, magnitudes=1) == theirs["dora"]


def linears(architecture: Architecture) -> Counter[tuple[str, int, int, bool, bool]]:
    """All linear modules of all layers, each as often as it comes."""
    found: Counter[tuple[str, int, int, bool, bool]] = Counter()
    for layer in architecture.groups:
        for m in layer.linears:
            found[m.name, m.inputs, m.outputs, m.bias, m.quantisable] += layer.count
    return found


def windows(architecture: Architecture) -> Counter[int | None]:
    """How many layers look back how far."""
    found: Counter[int | None] = Counter()
    for layer in architecture.groups:
        found[layer.attention.window] += layer.count
    return found


def trained(architecture: Architecture, *, magnitudes: int) -> int:
    """Parameters of an adapter on all linear modules; with DoRA, one magnitude for each output."""
    return sum(
        layer.count * (RANK * (m.inputs + m.outputs) + magnitudes * m.outputs)
        for layer, modules in adapted_linears(architecture, ("all-linear",))
        for m in modules
    )


def test_there_are_enough_cases() -> None:
    """What the product promises: at least 60 configurations, 25 of them at full size."""
    assert len(FAMILIES) >= 60
    assert len(CASES) - len(FAMILIES) - len(VARIANTS) >= 100
