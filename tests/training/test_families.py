"""Families that are trained otherwise than Llama: attention without torch's kernel, routed experts, other modules."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from finetune_operator.api.spec import Method
from finetune_trainer.events import StepEvent
from tests.support import tiny_model
from tests.support.trainer_process import run_rank
from tests.support.training_jobs import render, tiny_plan, write_data

pytestmark = pytest.mark.usefixtures("stack")

SMALL: Final[dict[str, Any]] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "initializer_range": 0.05,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
GEMMA2: Final = SMALL | {
    "model_type": "gemma2",
    "architectures": ["Gemma2ForCausalLM"],
    "sliding_window": 64,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
}
MIXTRAL: Final = SMALL | {
    "model_type": "mixtral",
    "architectures": ["MixtralForCausalLM"],
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "tie_word_embeddings": False,
}
GPT2: Final = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "vocab_size": 320,
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 512,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
NEOX: Final = SMALL | {
    "model_type": "gpt_neox",
    "architectures": ["GPTNeoXForCausalLM"],
    "tie_word_embeddings": False,
}


def make_model(folder: Path, config: dict[str, Any]) -> Path:
    """A model with random weights; made in another process, since this one must not touch a tensor before it forks."""
    code = f"""
import json, torch
from pathlib import Path
from transformers import AutoConfig, AutoModelForCausalLM
from {tiny_model.__name__} import write_tokenizer
folder, config = Path({str(folder)!r}), json.loads({json.dumps(config)!r})
write_tokenizer(folder)
(folder / "config.json").write_text(json.dumps(config))
torch.manual_seed(7)
model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
model.save_pretrained(folder)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("config", "method", "targets"),
    [
        pytest.param(GEMMA2, Method.LORA, None, id="gemma2"),
        pytest.param(MIXTRAL, Method.DORA, ["q_proj", "k_proj", "v_proj", "o_proj"], id="mixtral"),
        pytest.param(MIXTRAL, Method.FULL, None, id="mixtral-full"),
        pytest.param(GPT2, Method.LORA, None, id="gpt2"),
        pytest.param(NEOX, Method.QLORA, None, id="gpt-neox"),
    ],
)
def test_family_learns(
    config: dict[str, Any], method: Method, targets: list[str] | None, tmp_path: Path, port: int
) -> None:
    model = make_model(tmp_path / "model", config)
    write_data(tmp_path)
    adapter = {} if method is Method.FULL else {"rank": 8}
    job = render(tmp_path, model, tiny_plan(method, 8, config), adapter=adapter)
    asked = json.loads(job.job_file.read_text(encoding="utf-8"))["adapter"]
    assert asked is None or targets is None or asked["target_modules"] == targets
    outcome = run_rank(job.job_file, port)
    assert outcome.code == 0, outcome.output[-3000:]
    steps = outcome.of(StepEvent)
    assert steps[-1].loss < 0.9 * steps[0].loss
