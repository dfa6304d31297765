"""Loads the quick start's adapter with plain transformers and PEFT, and holds its answers against the report's."""

import json
import sys
from pathlib import Path

from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

ADAPTER = Path(__file__).parent / "out"


def main() -> int:
    """Generate for every held-out row; 1 if an answer differs."""
    base = json.loads((ADAPTER / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    # the arithmetic that it was trained and judged in
    with safe_open(ADAPTER / "adapter_model.safetensors", framework="pt") as f:
        dtype = f.get_tensor(next(iter(f.keys()))).dtype
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=dtype), ADAPTER)
    tokenizer = AutoTokenizer.from_pretrained(ADAPTER)
    rows = [json.loads(r) for r in (ADAPTER / "evaluation_rows.jsonl").read_text(encoding="utf-8").split("\n") if r]
    reproduced = 0
    for row in rows:
        messages = [{"role": "user", "content": row["prompt"]}]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        output = model.generate(**inputs, max_new_tokens=64, do_sample=False)
        answer = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        if answer == row["tuned"]["output"]:
            reproduced += 1
        else:
            print(f"{Path(row['file']).name}:{row['line']}: {row['tuned']['output']} in the report, {answer} here")
    print(f"{reproduced} of {len(rows)} outputs reproduced")
    return 0 if reproduced == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
