"""GPT-2 and what followed it: Pythia, OPT, BLOOM, Falcon, StarCoder."""

from typing import Any, Final

from finetune_operator.planner.catalogue.fields import UNTIED, Entries, of, sizes

_GPT2: Final = of("gpt2", "GPT2LMHeadModel")
_BIGCODE: Final = of("gpt_bigcode", "GPTBigCodeForCausalLM") | {"multi_query": True}
_NEO: Final = of("gpt_neo", "GPTNeoForCausalLM")
_STARCODER2: Final = of("starcoder2", "Starcoder2ForCausalLM") | {"use_bias": True, "sliding_window": 4096}


def _gpt(hidden: int, layers: int, heads: int, vocab: int, positions: int) -> dict[str, int]:
    """The fields that GPT-2's config.json has."""
    return {
        "n_embd": hidden,
        "n_layer": layers,
        "n_head": heads,
        "vocab_size": vocab,
        "n_positions": positions,
    }


def _neo(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_layers": layers,
        "num_heads": heads,
        "intermediate_size": None,
        "vocab_size": 50_257,
        "max_position_embeddings": 2048,
        "attention_types": [[["global", "local"], layers // 2]],
        "window_size": 256,
    }


def _neox(hidden: int, layers: int, heads: int, vocab: int) -> dict[str, Any]:
    return (
        of("gpt_neox", "GPTNeoXForCausalLM")
        | UNTIED
        | {
            "hidden_size": hidden,
            "intermediate_size": 4 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "vocab_size": vocab,
            "max_position_embeddings": 2048,
        }
    )


def _opt(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return of("opt", "OPTForCausalLM") | {
        "hidden_size": hidden,
        "word_embed_proj_dim": hidden,
        "ffn_dim": 4 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": 50_272,
        "max_position_embeddings": 2048,
        "do_layer_norm_before": True,
    }


def _bloom(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return of("bloom", "BloomForCausalLM") | {
        "hidden_size": hidden,
        "n_layer": layers,
        "n_head": heads,
        "vocab_size": 250_880,
    }


def _falcon(hidden: int, layers: int, heads: tuple[int, int]) -> dict[str, Any]:
    return of("falcon", "FalconForCausalLM") | {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_kv_heads": heads[1],
        "vocab_size": 65_024,
        "alibi": False,
        "bias": False,
        "multi_query": True,
        "parallel_attn": True,
    }


CLASSIC: Final[Entries] = (
    (("openai-community/gpt2", "gpt2"), _GPT2 | _gpt(768, 12, 12, 50_257, 1024)),
    (("openai-community/gpt2-medium",), _GPT2 | _gpt(1024, 24, 16, 50_257, 1024)),
    (("openai-community/gpt2-large",), _GPT2 | _gpt(1280, 36, 20, 50_257, 1024)),
    (("openai-community/gpt2-xl",), _GPT2 | _gpt(1600, 48, 25, 50_257, 1024)),
    (("distilbert/distilgpt2",), _GPT2 | _gpt(768, 6, 12, 50_257, 1024)),
    (("EleutherAI/gpt-neo-125m",), _NEO | _neo(768, 12, 12)),
    (("EleutherAI/gpt-neo-1.3B",), _NEO | _neo(2048, 24, 16)),
    (("EleutherAI/gpt-neo-2.7B",), _NEO | _neo(2560, 32, 20)),
    (("EleutherAI/gpt-j-6b",), of("gptj", "GPTJForCausalLM") | UNTIED | _gpt(4096, 28, 16, 50_400, 2048)),
    (("EleutherAI/gpt-neox-20b",), _neox(6144, 44, 64, 50_432)),
    (("EleutherAI/pythia-70m", "EleutherAI/pythia-70m-deduped"), _neox(512, 6, 8, 50_304)),
    (("EleutherAI/pythia-160m", "EleutherAI/pythia-160m-deduped"), _neox(768, 12, 12, 50_304)),
    (("EleutherAI/pythia-410m", "EleutherAI/pythia-410m-deduped"), _neox(1024, 24, 16, 50_304)),
    (("EleutherAI/pythia-1b", "EleutherAI/pythia-1b-deduped"), _neox(2048, 16, 8, 50_304)),
    (("EleutherAI/pythia-1.4b", "EleutherAI/pythia-1.4b-deduped"), _neox(2048, 24, 16, 50_304)),
    (("EleutherAI/pythia-2.8b", "EleutherAI/pythia-2.8b-deduped"), _neox(2560, 32, 32, 50_304)),
    (("EleutherAI/pythia-6.9b", "EleutherAI/pythia-6.9b-deduped"), _neox(4096, 32, 32, 50_432)),
    (("EleutherAI/pythia-12b", "EleutherAI/pythia-12b-deduped"), _neox(5120, 36, 40, 50_688)),
    (("facebook/opt-125m",), _opt(768, 12, 12)),
    (("facebook/opt-1.3b",), _opt(2048, 24, 32)),
    (("facebook/opt-2.7b",), _opt(2560, 32, 32)),
    (("facebook/opt-6.7b",), _opt(4096, 32, 32)),
    (("facebook/opt-13b",), _opt(5120, 40, 40)),
    (("facebook/opt-30b",), _opt(7168, 48, 56)),
    (("bigscience/bloom-560m", "bigscience/bloomz-560m"), _bloom(1024, 24, 16)),
    (("bigscience/bloom-1b1", "bigscience/bloomz-1b1"), _bloom(1536, 24, 16)),
    (("bigscience/bloom-1b7", "bigscience/bloomz-1b7"), _bloom(2048, 24, 16)),
    (("bigscience/bloom-3b", "bigscience/bloomz-3b"), _bloom(2560, 30, 32)),
    (("bigscience/bloom-7b1", "bigscience/bloomz-7b1"), _bloom(4096, 30, 32)),
    (("bigscience/bloom",), _bloom(14_336, 70, 112)),
    (("tiiuae/falcon-7b", "tiiuae/falcon-7b-instruct"), _falcon(4544, 32, (71, 71))),
    (
        ("tiiuae/falcon-40b", "tiiuae/falcon-40b-instruct"),
        _falcon(8192, 60, (128, 8)) | {"new_decoder_architecture": True},
    ),
    (
        ("mosaicml/mpt-7b", "mosaicml/mpt-7b-instruct"),
        of("mpt", "MPTForCausalLM")
        | {"d_model": 4096, "n_layers": 32, "n_heads": 32, "vocab_size": 50_432, "max_seq_len": 2048},
    ),
    (
        ("bigcode/gpt_bigcode-santacoder",),
        _BIGCODE | _gpt(2048, 24, 16, 49_280, 2048) | {"n_inner": 8192},
    ),
    (("bigcode/starcoderbase-1b",), _BIGCODE | _gpt(2048, 24, 16, 49_152, 8192) | {"n_inner": 8192}),
    (("bigcode/starcoder", "bigcode/starcoderbase"), _BIGCODE | _gpt(6144, 40, 48, 49_152, 8192) | {"n_inner": 24_576}),
    (("bigcode/starcoder2-3b",), _STARCODER2 | sizes(3072, 12_288, 30, (24, 2), 49_152, 16_384)),
    (("bigcode/starcoder2-7b",), _STARCODER2 | sizes(4608, 18_432, 32, (36, 4), 49_152, 16_384)),
    (("bigcode/starcoder2-15b",), _STARCODER2 | UNTIED | sizes(6144, 24_576, 40, (48, 4), 49_152, 16_384)),
    (
        ("Salesforce/codegen-350M-mono",),
        of("codegen", "CodeGenForCausalLM") | UNTIED | _gpt(1024, 20, 16, 51_200, 2048),
    ),
)
"""GPT-2 and what followed it."""
