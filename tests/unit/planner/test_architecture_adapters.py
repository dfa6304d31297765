"""Which modules an adapter is put on."""

import pytest

from finetune_operator.exceptions import InvalidManifestError
from finetune_operator.planner.architecture import adapted_linears, adapted_modules, read_architecture
from finetune_operator.planner.catalogue import CATALOGUE
from tests.unit.planner.test_architecture import SMALL


def names(repo: str, *targets: str) -> list[list[str]]:
    """Of the adapted modules, for each kind of layer."""
    found = adapted_linears(read_architecture(CATALOGUE[repo]), targets)
    return [[m.name for m in modules] for _, modules in found]


def test_unknown_target_lists_the_real_ones() -> None:
    said = (
        "spec.adapter.targetModules: qproj is not in LlamaForCausalLM; it has q_proj, k_proj, v_proj, o_proj, "
        "gate_proj, up_proj, down_proj (or write all-linear)"
    )
    for function in (adapted_modules, adapted_linears):
        with pytest.raises(InvalidManifestError) as e:
            function(read_architecture(SMALL), ("q_proj", "qproj"))
        assert str(e.value) == said


def test_targets_are_taken_in_the_order_of_the_model() -> None:
    found = adapted_modules(read_architecture(SMALL), ("down_proj", "q_proj"))
    assert [m.name for m in found] == ["q_proj", "down_proj"]


def test_all_linear_is_everything_but_the_head() -> None:
    assert names("meta-llama/Llama-3.1-8B", "all-linear") == [
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    ]


def test_a_name_that_comes_twice_is_adapted_twice() -> None:
    assert names("gpt2", "c_proj") == [["c_proj", "c_proj"]]


def test_fused_modules_have_their_own_names() -> None:
    assert names("microsoft/phi-4", "all-linear") == [["o_proj", "qkv_proj", "gate_up_proj", "down_proj"]]


def test_routed_experts_are_not_reached() -> None:
    assert names("openai/gpt-oss-20b", "all-linear") == [["q_proj", "k_proj", "v_proj", "o_proj"]] * 2
    assert names("mistralai/Mixtral-8x7B-v0.1", "all-linear") == [["q_proj", "k_proj", "v_proj", "o_proj"]]


def test_shared_experts_are_linear_modules() -> None:
    assert names("Qwen/Qwen1.5-MoE-A2.7B", "all-linear") == [
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "shared_expert_gate"]
    ]


def test_modules_that_peft_takes_for_experts_are_left_out() -> None:
    assert (
        names("deepseek-ai/DeepSeek-V2-Lite", "all-linear")
        == [["q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]] * 2
    )


@pytest.mark.parametrize("target", ["gate_proj", "down_proj", "gate"])
def test_a_target_that_stands_for_experts_is_refused(target: str) -> None:
    with pytest.raises(InvalidManifestError) as e:
        names("Qwen/Qwen3-30B-A3B", target)
    assert str(e.value) == (
        f"spec.adapter.targetModules: {target} stands for the routed experts of Qwen3MoeForCausalLM, which aren't "
        "adapted in this version; write some of q_proj, k_proj, v_proj, o_proj (or all-linear)"
    )


@pytest.mark.parametrize(("tied", "told"), [(True, ", one table in this model"), (False, "")])
@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_embeddings_and_the_head_are_refused_tied_or_not(target: str, told: str, tied: bool) -> None:  # noqa: FBT001
    with pytest.raises(InvalidManifestError) as caught:
        adapted_modules(read_architecture({**SMALL, "tie_word_embeddings": tied}), (target,))
    assert str(caught.value) == (
        f"spec.adapter.targetModules: {target} is of the embeddings and the output head{told}, which aren't adapted in "
        "this version; write some of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj (or all-linear)"
    )
