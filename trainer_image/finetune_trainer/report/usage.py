"""Lines that load the result with plain transformers and PEFT, to be copied as they stand."""

import json
from pathlib import Path
from typing import Final

from finetune_trainer.data.examples import HEADINGS
from finetune_trainer.evidence import RunRecord
from finetune_trainer.job_config import JobConfig, Precision, RowFormat
from finetune_trainer.report.markdown import code

DTYPES: Final = {Precision.BF16: "bfloat16", Precision.FP16: "float16", Precision.FP32: "float32"}
"""transformers' names; the arithmetic that the result was judged in."""

EXAMPLE_CHARACTERS: Final = 400
"""A longer prompt isn't repeated in the example."""

CHAT_TEMPLATE: Final = "chat_template.jinja"
"""Among the result's files where its tokenizer lays conversations out."""

_CONVERSATIONS: Final = frozenset({RowFormat.ALPACA, RowFormat.MESSAGES})


def render_usage(record: RunRecord) -> str:
    """The section with the lines."""
    asked = _score(record) if record.job.objective == "Reward" else _ask(record)
    shown = record.job.shown
    where = (f"# {shown.where}",) if shown is not None else ()
    lines = (*where, *_load(record), "", *asked)
    return "\n\n".join(("## Use it", code("\n".join(lines), "python")))


def _load(record: RunRecord) -> tuple[str, ...]:
    job = record.job
    dtype = DTYPES[job.training.precision]
    output = job.shown.output if job.shown is not None else str(Path(job.output))
    tokenizer = f"tokenizer = AutoTokenizer.from_pretrained({_literal(output)})"
    scored = job.objective == "Reward"
    loader = "AutoModelForSequenceClassification" if scored else "AutoModelForCausalLM"
    transformers = f"from transformers import {loader}, AutoTokenizer"
    if job.method == "Full":
        return (
            transformers,
            "",
            f"model = {loader}.from_pretrained({_literal(output)}, dtype={_literal(dtype)})",
            tokenizer,
        )
    source = f"{_model(job)}, dtype={_literal(dtype)}" + (", num_labels=1" if scored else "")
    model = f"model = PeftModel.from_pretrained(base, {_literal(output)})"
    q = job.quantization
    if q is None:
        base = f"base = {loader}.from_pretrained({source})"
        return ("from peft import PeftModel", transformers, "", base, model, tokenizer)
    return (
        "from peft import PeftModel",
        f"{transformers}, BitsAndBytesConfig",
        "",
        "# the base as it was judged; without quantization_config the adapter goes onto the unrounded one",
        "bits = BitsAndBytesConfig(",
        f"    load_in_4bit=True, bnb_4bit_quant_type={_literal(q.kind)}, bnb_4bit_use_double_quant={q.double},",
        f"    bnb_4bit_compute_dtype={_literal(dtype)},",
        ")",
        f"base = {loader}.from_pretrained({source}, quantization_config=bits)",
        model,
        tokenizer,
    )


def _model(job: JobConfig) -> str:
    if job.shown is None:
        return _literal(job.model.path)
    revision = job.shown.revision
    return _literal(job.shown.model) + (f", revision={_literal(revision)}" if revision is not None else "")


def _ask(record: RunRecord) -> tuple[str, ...]:
    prompt = _example(record)
    asked: tuple[str, ...]
    if record.train.format not in _CONVERSATIONS:
        asked = _plain(prompt)
    elif CHAT_TEMPLATE in record.output_files:
        asked = (
            "# turns as in the training rows",
            f'messages = [{{"role": "user", "content": {_literal(prompt)}}}]',
            "inputs = tokenizer.apply_chat_template(",
            '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True',
            ")",
        )
    else:
        # the model has no template: the layout that its rows were trained in
        asked = _plain(f"{HEADINGS['user']}:\n{prompt}\n\n{HEADINGS['assistant']}:\n")
    return (
        *asked,
        "output = model.generate(**inputs, max_new_tokens=256, do_sample=False)",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    )


def _score(record: RunRecord) -> tuple[str, ...]:
    asked: tuple[str, ...]
    text = "your prompt and its answer, laid out and ended like those of the training rows"
    if CHAT_TEMPLATE not in record.output_files:
        asked = (f'inputs = tokenizer({_literal(text)}, return_tensors="pt")',)
    else:
        asked = (
            "# turns as in the training rows",
            'messages = [{"role": "user", "content": "your prompt"}, {"role": "assistant", "content": "its answer"}]',
            "text = tokenizer.apply_chat_template(messages, tokenize=False)",
            "# the score is read at the mark that ends the answer: a template may write more behind it",
            "text = text[: text.rindex(tokenizer.eos_token) + len(tokenizer.eos_token)]",
            'inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")',
        )
    return (*asked, "print(model(**inputs).logits[0, 0].item())")


def _plain(prompt: str) -> tuple[str, ...]:
    return (f"prompt = {_literal(prompt)}", 'inputs = tokenizer(prompt, return_tensors="pt")')


def _example(record: RunRecord) -> str:
    prompts = [a.prompt for a in record.tuned.answers if 0 < len(a.prompt) <= EXAMPLE_CHARACTERS]
    return prompts[0] if prompts else "your prompt, written like those of the training rows"


def _literal(text: str) -> str:
    """A string of Python on one line; what can't be seen is escaped as only repr does it."""
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else repr(text)
