"""Curves and bars as PNG. Drawn with matplotlib's objects alone: pyplot keeps global state and picks a display."""

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from finetune_trainer.acceptance import show
from finetune_trainer.evidence import RunRecord
from finetune_trainer.job_config import LOWER_IS_BETTER
from finetune_trainer.report import numbers
from finetune_trainer.report.markdown import NONE, visible
from finetune_trainer.report.memory import MEMORY_CHART, label
from finetune_trainer.report.series import SMOOTHED_FROM, median, smoothed, spans_decades
from finetune_trainer.scoring import wilson

WIDTH: Final = 9.0
"""Inches: 900 pixels wide at 100 dots an inch, which is how a page shows it."""

DOTS_PER_INCH: Final = 200
"""Twice what a page shows, for dense screens."""

LABEL_CHARACTERS: Final = 28
"""Of a metric's name, and of a line of a component's."""

GIB: Final = 1024**3
"""Bytes in the unit of memory's axis."""

BARS_DRAWN: Final = 30
"""Metrics in the picture; the text's table has all."""

_BLUE: Final = "#0072B2"
_ORANGE: Final = "#E69F00"
_GREEN: Final = "#009E73"
_VERMILION: Final = "#D55E00"
_GREY: Final = "#6E6E6E"
"""The palette of Okabe and Ito, which colour-blind people tell apart; tuned is blue, baseline orange throughout."""

_STYLE: Final[dict[Any, Any]] = {
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 11,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "legend.fontsize": 10,
    "legend.frameon": False,
    # names of metrics are the user's: a dollar in them is no formula
    "text.parse_math": False,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}

Charts = dict[str, bytes]
"""File name under the output folder, to PNG."""


def draw(record: RunRecord) -> Charts:
    """All pictures that the record has numbers for."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # names in a script that the font lacks show as boxes; the text has them right
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        return {name: _png(build(record)) for name, build in choose(record).items()}


def choose(record: RunRecord) -> dict[str, Callable[[RunRecord], Figure]]:
    """The pictures that the record has numbers for, and what builds them."""
    charts: dict[str, Callable[[RunRecord], Figure]] = {"curves/evaluation.png": _evaluation, MEMORY_CHART: _memory}
    if record.history:
        charts |= {
            "curves/loss.png": _loss,
            "curves/tokens_per_second.png": _speed,
        }
    if any(math.isfinite(v) for v in gradient_norms(record)):
        charts["curves/gradient_norm.png"] = _gradient_norm
    return charts


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    # no date and no version in it: the same numbers are the same file
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _figure(height: float) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.07, wspace=0.04)
    return Figure(figsize=(WIDTH, height), layout=layout, facecolor="white")


def _curve_axes(title: str, unit: str, height: float) -> tuple[Figure, Axes]:
    figure = _figure(height)
    axes: Axes = figure.subplots()
    axes.set_title(title)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _draw_curve(axes: Axes, record: RunRecord, values: Sequence[float], name: str) -> None:
    steps = [e.step for e in record.history]
    finite = [v if math.isfinite(v) else math.nan for v in values]
    if len(finite) < SMOOTHED_FROM:
        axes.plot(steps, finite, color=_BLUE, linewidth=1.8, marker="o", markersize=5, label=name)
    else:
        axes.plot(steps, smoothed(finite), color=_BLUE, linewidth=2.2, label=f"{name}, smoothed")
        axes.plot(steps, finite, color=_BLUE, linewidth=0.9, alpha=0.4, label="each logged step", zorder=1.5)
    for number, step in enumerate(record.resumed_from):
        label = "resumed from a checkpoint" if number == 0 else "_"
        axes.axvline(step + 0.5, color=_GREY, linewidth=1.2, linestyle=(0, (1, 2)), label=label)


def _legend_below(axes: Axes, *others: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    for other in others:
        more = other.get_legend_handles_labels()
        handles, labels = [*handles, *more[0]], [*labels, *more[1]]
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, handlelength=2.2)


def _loss(record: RunRecord) -> Figure:
    figure, axes = _curve_axes("Loss", "loss on the answers (nats a token)", 4.4)
    _draw_curve(axes, record, [e.loss for e in record.history], "training loss")
    _held_out(axes, record)
    axes.set_ylim(bottom=0)
    rate = axes.twinx()
    rate.grid(visible=False)
    rate.spines["top"].set_visible(False)
    rate.plot(
        [e.step for e in record.history],
        [e.learning_rate for e in record.history],
        color=_GREEN,
        linewidth=1.4,
        linestyle="--",
        label="learning rate (right axis)",
    )
    rate.set_ylim(bottom=0)
    rate.set_ylabel("learning rate", color=_GREEN)
    rate.tick_params(axis="y", labelcolor=_GREEN)
    rate.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    rate.yaxis.set_major_formatter(FuncFormatter(lambda value, _: scientific(value)))
    _legend_below(axes, rate)
    return figure


def _held_out(axes: Axes, record: RunRecord) -> None:
    during = [(e.step, e.loss) for e in record.held_out]
    points = [(0, record.baseline.metrics["loss"]), *during]
    if not during or during[-1][0] != record.history[-1].step:
        points.append((record.history[-1].step, record.tuned.metrics["loss"]))
    found = [(step, loss) for step, loss in points if math.isfinite(loss)]
    if found:
        axes.plot(
            [step for step, _ in found],
            [loss for _, loss in found],
            color=_VERMILION,
            linestyle="-" if during else "none",
            linewidth=1.6,
            marker="D",
            markersize=8 if len(found) < SMOOTHED_FROM else 4,
            clip_on=False,
            zorder=5,
            label="held-out rows" if during else "held-out rows, before and after",
        )


def _gradient_norm(record: RunRecord) -> Figure:
    values = gradient_norms(record)
    figure, axes = _curve_axes("Gradient norm, before clipping", "gradient norm", 3.4)
    _draw_curve(axes, record, values, "gradient norm")
    limit = record.job.training.max_grad_norm
    if limit:
        axes.axhline(limit, color=_VERMILION, linewidth=1.4, linestyle="--", label=f"clipped above {limit:g}")
    if spans_decades(values):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    _legend_below(axes)
    return figure


def _speed(record: RunRecord) -> Figure:
    values = [e.tokens_per_second for e in record.history]
    figure, axes = _curve_axes("Speed, padding not counted", "tokens a second", 3.4)
    _draw_curve(axes, record, values, "measured")
    middle, planned = median(values), record.job.prediction.tokens_per_second
    if math.isfinite(middle):
        axes.axhline(middle, color=_GREEN, linewidth=1.4, linestyle=":", label=f"median {middle:,.0f}")
    if planned:
        axes.axhline(planned, color=_VERMILION, linewidth=1.4, linestyle="--", label=f"predicted {planned:,.0f}")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    _legend_below(axes)
    return figure


def _memory(record: RunRecord) -> Figure:
    memory = record.memory
    compared = memory.compared()
    names = [textwrap.fill(label(c.component), LABEL_CHARACTERS) for c in compared] + ["in all"]
    pairs = [(c.predicted, c.measured) for c in compared] + [(memory.total_predicted, memory.measured)]
    figure = _figure(1.5 + 0.55 * len(names))
    axes: Axes = figure.subplots()
    for offset, colour, name, values in (
        (-0.2, _GREY, "predicted", [p for p, _ in pairs]),
        (0.2, _BLUE, "measured", [m for _, m in pairs]),
    ):
        places = [i + offset for i in range(len(names))]
        axes.barh(places, [(v or 0) / GIB for v in values], height=0.38, color=colour, label=name)
        for place, value in zip(places, values, strict=True):
            text = NONE if value is None else numbers.memory(value)
            axes.annotate(
                text, ((value or 0) / GIB, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=10
            )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, max(v or 0 for pair in pairs for v in pair) / GIB * 1.15 or 1)
    axes.grid(visible=False, axis="y")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("Memory of a device at its peak in training")
    axes.set_xlabel("GiB")
    _legend_below(axes)
    return figure


def _evaluation(record: RunRecord) -> Figure:
    shares = [m for m in record.tuned.metrics if m not in LOWER_IS_BETTER][:BARS_DRAWN]
    others = [m for m in record.tuned.metrics if m in LOWER_IS_BETTER]
    if not shares:
        figure = _figure(2.4)
        _draw_others(list(figure.subplots(1, len(others), squeeze=False)[0]), record, others)
        return figure
    figure = _figure(max(3.2, 1.5 + 0.55 * len(shares)))
    grid = figure.add_gridspec(len(others), 2, width_ratios=(2.4, 1))
    _draw_shares(figure.add_subplot(grid[:, 0]), record, shares)
    _draw_others([figure.add_subplot(grid[i, 1]) for i in range(len(others))], record, others)
    return figure


def _draw_shares(axes: Axes, record: RunRecord, names: Sequence[str]) -> None:
    rows = len(record.tuned.answers)
    for offset, evaluation, colour in ((-0.2, record.baseline, _ORANGE), (0.2, record.tuned, _BLUE)):
        values = [evaluation.metrics[n] for n in names]
        bounds = [wilson(v, rows) for v in values]
        places = [i + offset for i in range(len(names))]
        axes.barh(places, values, height=0.38, color=colour, label=evaluation.subject)
        axes.errorbar(
            values,
            places,
            xerr=[
                [max(0.0, v - low) for v, (low, _) in zip(values, bounds, strict=True)],
                [max(0.0, high - v) for v, (_, high) in zip(values, bounds, strict=True)],
            ],
            fmt="none",
            ecolor="#333333",
            elinewidth=1.2,
            capsize=3,
        )
        for place, value in zip(places, values, strict=True):
            axes.annotate(f"{value:.0%}", (1.03, place), va="center", fontsize=10, annotation_clip=False)
    axes.set_yticks(range(len(names)), [_label(n) for n in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(visible=False, axis="y")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("Held-out rows that are right")
    axes.set_xlabel(f"share of {rows} rows, with 95% interval")
    _legend_below(axes)


def _draw_others(panels: Sequence[Axes], record: RunRecord, names: Sequence[str]) -> None:
    for axes, name in zip(panels, names, strict=True):
        values = [record.baseline.metrics[name], record.tuned.metrics[name]]
        drawn = [v if math.isfinite(v) else 0.0 for v in values]
        axes.barh((0, 1), drawn, height=0.6, color=(_ORANGE, _BLUE))
        for place, value, length in zip((0, 1), values, drawn, strict=True):
            axes.annotate(
                show(name, value), (length, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=10
            )
        axes.set_yticks((0, 1), ("baseline", "tuned"))
        axes.invert_yaxis()
        axes.set_xlim(0, max(drawn) * 1.35 or 1)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
        axes.grid(visible=False, axis="y")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(name.capitalize())
        axes.set_xlabel("lower is better")


def _label(name: str) -> str:
    text = visible(name)
    return text if len(text) <= LABEL_CHARACTERS else f"{text[: LABEL_CHARACTERS - 1]}…"


def gradient_norms(record: RunRecord) -> list[float]:
    """By logged step; NaN where DeepSpeed didn't tell it."""
    return [math.nan if e.gradient_norm is None else e.gradient_norm for e in record.history]


def scientific(value: float) -> str:
    """A learning rate as it is written in a job: "2e-4", "1.5e-4", "0"."""
    if not value:
        return "0"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
