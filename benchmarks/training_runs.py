"""One run of a contender: started, looked at step by step with all its processes, and judged."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import psutil

HERE: Final = Path(__file__).parent
TICKETS: Final = HERE.parent / "examples" / "quickstart" / "train.jsonl"

SECONDS_BETWEEN_LOOKS: Final = 0.02
"""At the file of steps, and at the processes."""

LOOKS_AT_MEMORY: Final = 10
"""Looks at the file to one at the processes' memory."""

ADAPTER: Final = {"r": 16, "lora_alpha": 32}
"""Of every contender."""

MANY: Final = (1, 1, 1, 1, 1, 2, 2, 3, 4, 6, 9, 14)
"""Tickets in a row, drawn from these: most rows are short and a few are long, as in data that people have."""

HELD_OUT: Final = 8
"""Rows that the results are judged by."""

TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML, for a made-up model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What every contender is given."""

    folder: Path
    model: Path
    rows: int
    batch: int
    """Rows of an optimizer step."""
    rate: str
    gpu: bool

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""
        return -(-self.rows // self.batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """At a contender's processes when a step was done."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run took."""

    contender: str
    first_step: float
    """Seconds from launch until the first optimizer step is done."""
    first_step_cpu: float
    """CPU seconds of all its processes until then."""
    tokens_per_second: float
    """Real tokens, over the steps behind the first."""
    tokens_per_cpu_second: float
    wall: float
    """Seconds from launch to the end."""
    cpu: float
    peak_bytes: int
    """Resident set of all its processes together."""
    adapter: str
    """Folder of the result."""


def write_rows(folder: Path, rows: int, seed: int) -> None:
    """Rows of one to many tickets, for ours as messages and for TRL as prompt and completion."""
    draw = random.Random(seed)  # noqa: S311  not for secrets: the same file every time
    tickets = [json.loads(line) for line in TICKETS.read_text(encoding="utf-8").splitlines()]
    for name, count in (("train", rows), ("check", HELD_OUT)):
        made = [_row(draw.sample(tickets, draw.choice(MANY))) for _ in range(count)]
        _write(folder / f"{name}.jsonl", [{"messages": [*r["prompt"], *r["completion"]]} for r in made])
        _write(folder / f"{name}.trl.jsonl", made)
    # ours answers held-out rows before and after: one, a short one, since it is training that is compared
    held = min((folder / "check.jsonl").read_text(encoding="utf-8").splitlines(), key=len)
    _write(folder / "held.jsonl", [json.loads(held)])


def _row(tickets: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    asked = "\n".join(f"{n}. {t['input']}" for n, t in enumerate(tickets, 1))
    prompt = f"Give each ticket's priority and reason as JSON.\n\n{asked}"
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "completion": [{"role": "assistant", "content": "\n".join(t["output"] for t in tickets)}],
    }


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def count_tokens(task: Task) -> tuple[list[int], int]:
    """Tokens of each training row as the template lays it out, and of all answers together."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(task.model)
    lengths, answers = [], 0
    for line in (task.folder / "train.trl.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        whole = tokenizer.apply_chat_template(row["prompt"] + row["completion"], return_dict=True)["input_ids"]
        asked = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=True)["input_ids"]
        lengths.append(len(whole))
        answers += len(whole) - len(asked)
    return lengths, answers


def make_tiny(folder: Path) -> Path:
    """A made-up Llama of 15 million parameters, with a byte-level vocabulary of its own."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.trainers import BpeTrainer
    from transformers import AutoConfig, AutoModelForCausalLM

    folder.mkdir(parents=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=4096, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TICKETS.read_text(encoding="utf-8").splitlines(), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("bos_token", "eos_token", "pad_token"), special, strict=True))
    words = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE, "model_max_length": 2048, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(words), encoding="utf-8")
    shape = {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6}
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "vocab_size": 8192, "num_key_value_heads": 2}
    torch.manual_seed(7)
    maker: Any = AutoModelForCausalLM
    model = maker.from_config(AutoConfig.for_model("llama", **shape, **ids, tie_word_embeddings=True))
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def run(contender: str, settings: Mapping[str, Any] | None, task: Task, tokens: Sequence[int]) -> Run:
    """One run, from launch to the adapter; without settings it is our trainer's.

    Raises:
        SystemExit: it failed; the end of its log is in the message.
    """
    output = Path(mkdtemp(prefix=f"{contender}-", dir=task.folder))
    steps = output / "steps"
    if settings is None:
        command, steps = _ours(task, output), output / "out" / ".finetune" / "history.jsonl"
    else:
        command = _theirs(task, output, settings, steps)
    looks, end, peak = _watch(command, steps, output / "log", task)
    if len(looks) < task.steps:
        said = (output / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
        raise SystemExit(f"{contender} told {len(looks)} of {task.steps} steps; the end of its log:\n{said}")
    first, last = looks[0], looks[-1]
    behind = sum(tokens) * (task.steps - 1) / task.steps
    return Run(
        contender=contender,
        first_step=first.seconds,
        first_step_cpu=first.cpu_seconds,
        tokens_per_second=behind / (last.seconds - first.seconds),
        tokens_per_cpu_second=behind / (last.cpu_seconds - first.cpu_seconds),
        wall=end.seconds,
        cpu=end.cpu_seconds,
        peak_bytes=peak,
        adapter=str(output / "out"),
    )


def judge(task: Task, runs: Sequence[Run]) -> list[float]:
    """Loss on held-out answers: of the model as it was, and of each run's result."""
    adapters = [None, *(r.adapter for r in runs)]
    asked = {"model": str(task.model), "adapters": adapters, "rows": str(task.folder / "check.trl.jsonl")}
    command = [sys.executable, "-W", "ignore", str(HERE / "training_trl.py"), "judge", json.dumps(asked)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    losses: list[float] = json.loads(done.stdout.splitlines()[-1])
    return losses


def _ours(task: Task, output: Path) -> list[str]:
    manifest = {
        "apiVersion": "finetune-operator.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "benchmark"},
        "spec": {
            "model": {"source": {"path": str(task.model)}},
            "dataset": {
                "train": {"source": {"path": str(task.folder / "train.jsonl")}},
                "evaluation": {"source": {"path": str(task.folder / "held.jsonl")}},
                "maxLength": 1024,
            },
            "method": "LoRA",
            "adapter": {"rank": ADAPTER["r"], "alpha": ADAPTER["lora_alpha"], "dropout": "0"},
            "training": {
                "epochs": "1",
                "batchSize": task.batch,
                "learningRate": task.rate,
                "schedule": "Linear",
                "warmup": "0",
                "weightDecay": "0",
            },
            "acceptance": {"metric": "loss"},
            "output": {"path": "out"},
        },
    }
    # JSON is YAML
    (output / "job.yaml").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    program = Path(sys.executable).with_name("finetune")
    return [str(program), "run", str(output / "job.yaml"), "--option", "recommended" if task.gpu else "lora-cpu"]


def _theirs(task: Task, output: Path, settings: Mapping[str, Any], steps: Path) -> list[str]:
    same = {"learning_rate": float(task.rate)}
    # a plain script's batch is 8 rows
    same |= {"per_device_train_batch_size": task.batch} if task.batch != 8 else {}
    asked = {
        "model": str(task.model),
        "rows": str(task.folder / "train.trl.jsonl"),
        "output": str(output / "out"),
        "steps": str(steps),
        "adapter": ADAPTER,
        "same": same,
        "settings": dict(settings),
    }
    return [sys.executable, str(HERE / "training_trl.py"), "train", json.dumps(asked)]


def _watch(command: Sequence[str], steps: Path, log: Path, task: Task) -> tuple[list[Look], Look, int]:
    looks: list[Look] = []
    peak = turn = 0
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    quiet |= {} if task.gpu else {"CUDA_VISIBLE_DEVICES": ""}
    began, cpu = time.perf_counter(), 0.0
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=os.environ | quiet) as process,
    ):
        while process.poll() is None:
            done = _lines(steps)
            if done > len(looks):
                cpu = _cpu_seconds(process.pid, cpu)
                looks += [Look(seconds=time.perf_counter() - began, cpu_seconds=cpu)] * (done - len(looks))
            if turn % LOOKS_AT_MEMORY == 0:
                peak, cpu = max(peak, _resident(process.pid)), _cpu_seconds(process.pid, cpu)
            turn += 1
            time.sleep(SECONDS_BETWEEN_LOOKS)
    return looks, Look(seconds=time.perf_counter() - began, cpu_seconds=cpu), peak


def _lines(path: Path) -> int:
    """Steps that have been told."""
    if not path.exists():
        return 0
    return sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line == "{}" or '"loss"' in line)


def _family(pid: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_seconds(pid: int, before: float) -> float:
    """Of all processes, those that have ended included."""
    total = 0.0
    for process in _family(pid):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            return before
    # what has just ended is counted with its parent a moment later
    return max(before, total)


def _resident(pid: int) -> int:
    total = 0
    for process in _family(pid):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
