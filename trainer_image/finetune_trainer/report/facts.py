"""What was trained on what, where, and how well it was predicted: tables."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from finetune_trainer.events import DataFacts
from finetune_trainer.evidence import RunRecord
from finetune_trainer.job_config import DATA_REPORT_FILE, REFERENCED, JobConfig, TrainingConfig
from finetune_trainer.report import numbers
from finetune_trainer.report.charts import scientific
from finetune_trainer.report.markdown import NONE, code, escape, table
from finetune_trainer.report.memory import compare_peak, render_memory
from finetune_trainer.report.series import median

_DATA: Final[tuple[tuple[str, Callable[[DataFacts], str]], ...]] = (
    ("format", lambda d: escape(d.format)),
    ("usable rows", lambda d: numbers.count(d.rows)),
    ("skipped rows", lambda d: numbers.count(d.skipped)),
    ("tokens a row: median", lambda d: numbers.count(d.lengths.p50)),
    ("tokens a row: 95% are not above", lambda d: numbers.count(d.lengths.p95)),
    ("tokens a row: longest", lambda d: numbers.count(d.lengths.max)),
    ("tokens in all", lambda d: numbers.count(d.lengths.total)),
    ("of these in answers", lambda d: numbers.count(d.lengths.answer_total)),
)


def render_training(record: RunRecord) -> str:
    """Model, method, hyperparameters and DeepSpeed."""
    job, t = record.job, record.job.training
    rows = [
        ("base model", escape(job.model.description)),
        *_rounding(job),
        ("method", f"{job.method}, {job.objective}"),
        *_preference(job),
        ("option of the plan", escape(job.prediction.option)),
        ("trainable parameters", _trainable(record)),
        *_adapter(record),
        *_parent(record),
        ("epochs", f"{t.epochs:g}"),
        ("batch", _batch(record)),
        (
            "learning rate",
            f"{scientific(t.learning_rate)}, {_schedule(t)}, warm-up over the first {100 * t.warmup_share:.3g}%",
        ),
        *_optimizer(t),
        ("weight decay", f"{t.weight_decay:g}"),
        ("gradients clipped at norm", f"{t.max_grad_norm:g}" if t.max_grad_norm else "never"),
        *_evaluations(record),
        ("precision", t.precision.value),
        ("gradient checkpointing", "on" if t.gradient_checkpointing else "off"),
        ("DeepSpeed", _zero(record.deepspeed)),
        ("longest row allowed", f"{numbers.count(job.data.max_length)} tokens"),
        ("seed", str(t.seed)),
        ("resumed", _resumed(record)),
    ]
    return _section("What was trained", table(("", ""), rows))


def _preference(job: JobConfig) -> tuple[tuple[str, str], ...]:
    p = job.preference
    if p is None:
        return ()
    rows = [("beta", f"{p.beta:g}")]
    if job.objective == "KTO":
        rows.append(("weights of wanted and unwanted answers", f"{p.desirable_weight:g} and {p.undesirable_weight:g}"))
    if job.objective in REFERENCED:
        rows.append(("reference", "the model as it was when training began, asked once before the first step"))
    return tuple(rows)


def _schedule(training: TrainingConfig) -> str:
    name = training.schedule.removesuffix("_with_warmup").replace("_", " ")
    return name if training.schedule_cycles is None else f"{name} ({training.schedule_cycles} cycles)"


def _optimizer(training: TrainingConfig) -> tuple[tuple[str, str], ...]:
    if training.optimizer == "AdamW":
        return ()
    return (("optimizer", "AdamW, its moments in 8 bits (bitsandbytes)"),)


def _evaluations(record: RunRecord) -> tuple[tuple[str, str], ...]:
    every = record.job.training.evaluate_every_steps
    if every is None or not record.held_out:
        return ()
    lowest = min(record.held_out, key=lambda e: e.loss)
    steps = "every step" if every == 1 else f"every {every} steps"
    return (("held-out loss while training", f"{steps}; lowest {lowest.loss:.4g} at step {lowest.step}"),)


def _rounding(job: JobConfig) -> tuple[tuple[str, str], ...]:
    q = job.quantization
    if q is None:
        return ()
    scales = ", scales rounded as well" if q.double else ""
    how = f"{q.kind.upper()}{scales}"
    return (("base model's weights", f"rounded to 4 bits ({how}), in both evaluations as in training"),)


def render_data(record: RunRecord) -> str:
    """Rows, lengths and faults."""
    train, held = record.train, record.evaluation
    files = ("file", escape(", ".join(_name(f.path) for f in record.job.data.train)), escape(_held_out_name(record)))
    rows = [files, *((name, of(train), of(held)) for name, of in _DATA)]
    return _section("Data", table(("", ">training", ">held out"), rows), *_faults((train, held)))


def render_predictions(record: RunRecord) -> str:
    """What the plan said against what was measured."""
    return _section(
        "Predicted against measured",
        table(
            ("", ">predicted", ">measured", ">measured ÷ predicted"),
            (compare_peak(record.memory), _speed(record), _time(record)),
        ),
        f"Speed is the median of the logged steps, padding not counted. Evaluating took "
        f"{numbers.duration(record.baseline.seconds)} before and {numbers.duration(record.tuned.seconds)} after.",
        *render_memory(record.memory),
    )


def _speed(record: RunRecord) -> tuple[str, ...]:
    planned = record.job.prediction.tokens_per_second
    measured = median([e.tokens_per_second for e in record.history])
    return (
        "tokens a second",
        numbers.count(planned) if planned else NONE,
        numbers.count(measured) if math.isfinite(measured) else NONE,
        numbers.ratio(measured, planned),
    )


def _time(record: RunRecord) -> tuple[str, ...]:
    planned = record.job.prediction.tokens_per_second
    seconds = record.train.lengths.total * record.job.training.epochs / planned if planned else 0.0
    measured = numbers.duration(record.training_seconds)
    if record.resumed_from:
        # what earlier sessions took isn't known
        return ("training time", numbers.duration(seconds) if seconds else NONE, f"{measured} (last session)", NONE)
    ratio = numbers.ratio(record.training_seconds, seconds)
    return ("training time", numbers.duration(seconds) if seconds else NONE, measured, ratio)


def render_environment(record: RunRecord) -> str:
    """Everything needed to do it again."""
    e = record.environment
    rows = [
        ("device", escape(e.device)),
        *((("driver", escape(e.driver)),) if e.driver else ()),
        ("cores", str(e.cores)),
        ("RAM", numbers.memory(e.ram_bytes)),
        ("started", escape(record.started_at)),
        ("seed", str(e.seed)),
        *((escape(name), escape(version)) for name, version in e.versions.items()),
    ]
    return _section(
        "Environment",
        "The command:",
        code(e.command),
        table(("", ""), rows),
        table(("input", "checksum"), [(escape(n), escape(d)) for n, d in e.checksums.items()]),
    )


def render_files(record: RunRecord) -> str:
    """The result's files."""
    rows = [(escape(name), numbers.size(length)) for name, length in record.output_files.items()]
    whole = sum(record.output_files.values())
    return _section(
        "Files",
        table(("file", ">size"), [*rows, ("**in all**", f"**{numbers.size(whole)}**")]),
        f"Digest of the weights: {escape(record.digest)}",
    )


def _section(title: str, *parts: str) -> str:
    return "\n\n".join((f"## {title}", *parts))


def _trainable(record: RunRecord) -> str:
    p = record.job.prediction
    part = numbers.share(p.trainable_parameters, p.total_parameters)
    return f"{numbers.count(p.trainable_parameters)} of {numbers.count(p.total_parameters)} ({part})"


def _parent(record: RunRecord) -> tuple[tuple[str, str], ...]:
    parent, runs = record.job.parent, record.lineage.runs
    if parent is None:
        return ()
    chain = ", then ".join(escape(f"{r.name} ({r.objective}, {r.method})") for r in runs)
    return (("went on from the adapter", f"{escape(parent.description)}, {runs[-1].began_from}"), ("lineage", chain))


def _adapter(record: RunRecord) -> Iterable[tuple[str, str]]:
    adapter = record.job.adapter
    if adapter is None:
        return ()
    targets = escape(", ".join(adapter.target_modules))
    times = ", times alpha / sqrt(rank) (rsLoRA)" if adapter.rank_stabilized else ""
    size = f"rank {adapter.rank}, alpha {adapter.alpha}{times}"
    return (("adapter", f"{size}, dropout {adapter.dropout:g}, on {targets}"),)


def _batch(record: RunRecord) -> str:
    t, devices = record.job.training, record.job.world.size
    whole = t.micro_batch_size * t.gradient_accumulation * devices
    where = record.job.world.accelerator
    return (
        f"micro-batch {t.micro_batch_size} x accumulation {t.gradient_accumulation} x {devices} {where} "
        f"= {whole} rows an optimizer step"
    )


def _zero(deepspeed: dict[str, Any]) -> str:
    zero = deepspeed.get("zero_optimization", {})
    moved = [
        f"{what} offloaded to {zero[key]['device']}"
        for key, what in (("offload_optimizer", "optimizer"), ("offload_param", "weights"))
        if zero.get(key, {}).get("device", "none") != "none"
    ]
    return ", ".join((f"ZeRO stage {zero.get('stage', 0)}", *(moved or ("nothing offloaded",))))


def _resumed(record: RunRecord) -> str:
    if not record.resumed_from:
        return "no, one session from beginning to end"
    return "from " + ", then from ".join(f"the checkpoint of step {s}" for s in record.resumed_from)


def _name(path: str) -> str:
    return Path(path).name


def _held_out_name(record: RunRecord) -> str:
    data = record.job.data
    if data.evaluation is not None:
        return _name(data.evaluation.path)
    return f"{data.evaluation_fraction:.0%} of the same rows"


def _faults(data: Iterable[DataFacts]) -> tuple[str, ...]:
    found = [f for d in data for f in d.faults]
    count = sum(d.fault_count for d in data)
    if not count:
        return ("Every row is as it should be.",)
    listed = "\n".join(f"- {escape(_name(f.file))}:{f.line}: {escape(f.message)}" for f in found)
    where = f"all of them in [{DATA_REPORT_FILE}]({DATA_REPORT_FILE})"
    return (f"Rows that were not used ({numbers.count(count)}; {where}):", listed)
