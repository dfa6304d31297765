"""What a person sees of a run: a live bar on a terminal, single lines in a pipe, the verdict at the end."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Self

import click
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.cli.options_view import print_head, print_viable
from finetune_operator.cli.output import console, print_parts, print_text
from finetune_operator.cli.result_view import (
    LABEL_WIDTH,
    data_lines,
    line_label,
    memory_text,
    metric_text,
    print_result,
)
from finetune_operator.exceptions import SelectionNeededError
from finetune_operator.local.record import Record
from finetune_operator.local.road import Prospect
from finetune_operator.planner.plan import Plan
from finetune_operator.planner.sentences import plural
from finetune_operator.units import gib, human_count, human_duration
from finetune_trainer.events import (
    CheckpointEvent,
    EvaluationEvent,
    Event,
    FailureEvent,
    HeldOutEvent,
    MemoryEvent,
    PhaseEvent,
    ResultEvent,
    ResumeEvent,
    StepEvent,
    WarningEvent,
    deviation,
)
from finetune_trainer.exit_codes import ExitCode

QUIET_SECONDS: Final = 10.0
"""Least time between two lines of mere progress where there is no terminal."""

BAR_SHARE: Final = 5
"""The bar takes a fifth of the terminal's columns, of 150 at most: the figures beside it say more."""


class RunView(AbstractContextManager["RunView"]):
    """Shows one run; a `local.road.View`."""

    def __init__(self, *, interactive: bool) -> None:
        self._interactive = interactive
        self._out = console()
        self._progress = Progress(
            TextColumn("{task.fields[label]:<" + str(LABEL_WIDTH) + "}"),
            BarColumn(bar_width=self._bar_width()),
            TextColumn("{task.description}"),
            console=self._out,
            transient=True,
            disable=not self._out.is_terminal,
        )
        self._task: TaskID | None = None
        self._label = ""
        self._saved = 0
        self._held_out_loss: float | None = None
        self._memory_told = False
        self._told_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._progress.stop()

    def notify(self, sentence: str) -> None:
        """Say what is going on."""
        self._line("note", sentence)

    def choose(self, prospect: Prospect) -> Plan:
        """List the viable options and ask; there is no default.

        Raises:
            SelectionNeededError: there is no terminal.
        """
        print_head(self._out, prospect)
        print_viable(self._out, prospect.plans)
        self._out.print()
        ids = [p.id for p in prospect.plans.viable]
        if not self._interactive:
            raise SelectionNeededError(
                f"{len(ids)} options are viable and none is chosen; write --option with one of {', '.join(ids)} (or "
                "plan.option in the manifest)",
            )
        answer = click.prompt("Which option", type=click.Choice([*ids, "none"]), show_choices=True)
        found = prospect.plans.find(answer)
        if found is None:
            raise SelectionNeededError("no option was chosen; nothing has been started")
        return found

    def begin(self, record: Record, status: FineTuneJobStatus) -> None:
        """Say what is about to run, or what came out of it before."""
        if record.result is not None:
            self._line("done", "this job has run already; a new run needs another output.path")
            print_result(self._out, record.result)
            return
        self._line("option", record.option)
        for line in data_lines(status):
            self._line("data", line)
        self._progress.start()
        if self._out.is_terminal:
            self._bar("starting", 0, None, "loading torch, transformers and DeepSpeed")

    def event(self, event: Event) -> None:
        """Show what the trainer said."""
        match event:
            case PhaseEvent():
                self._phase(event)
            case StepEvent() | HeldOutEvent():
                self._step(event)
            case EvaluationEvent():
                self._metrics(event)
            case MemoryEvent():
                self._memory(event)
            case CheckpointEvent():
                self._checkpoint(event)
            case ResumeEvent():
                self._line("resumed", f"from the checkpoint of step {event.step}")
            case WarningEvent():
                self._line("warning", event.message)
            case FailureEvent():
                self._progress.stop()
                asked_for = event.code == ExitCode.INTERRUPTED
                click.echo(event.message if asked_for else f"error: {event.message}", err=True)
            case ResultEvent():
                self._progress.stop()
                print_result(self._out, event)
            case _:
                return

    def _phase(self, event: PhaseEvent) -> None:
        if event.total:
            self._bar(event.phase, event.done, event.total, f"{event.done}/{event.total} rows")
        elif event.phase != "training":
            self._bar(event.phase, 0, None, event.message)
        elif self._out.is_terminal:
            self._bar(event.phase, 0, None, "before the first step")

    def _step(self, event: StepEvent | HeldOutEvent) -> None:
        if isinstance(event, HeldOutEvent):
            self._held_out(event)
            return
        self._bar("training", event.step, event.steps, " · ".join(self._figures(event)))

    def _held_out(self, event: HeldOutEvent) -> None:
        self._held_out_loss = event.loss
        if not self._out.is_terminal:
            self._quiet_line("held out", f"step {event.step}/{event.steps} · loss {event.loss:.3f}")

    def _figures(self, event: StepEvent) -> Sequence[str]:
        """What a step says, as much of it as there is room for."""
        figures = {
            "step": f"step {event.step}/{event.steps}",
            "epoch": f"epoch {event.epoch:.1f}",
            "loss": f"loss {event.loss:.3f}",
            **({} if self._held_out_loss is None else {"held out": f"held out {self._held_out_loss:.3f}"}),
            "speed": f"{human_count(event.tokens_per_second)} tok/s",
            "memory": gib(event.memory_bytes),
            "left": f"{human_duration(event.remaining_seconds)} left",
        }
        if self._out.is_terminal and self._saved:
            figures["saved"] = f"saved {self._saved}"
        room = self._out.width - LABEL_WIDTH - self._bar_width() - 2
        for missed_least in ("saved", "epoch", "memory", "speed", "held out"):
            if len(" · ".join(figures.values())) > room:
                figures.pop(missed_least, None)
        return tuple(figures.values())

    def _bar_width(self) -> int:
        return min(self._out.width, 150) // BAR_SHARE

    def _checkpoint(self, event: CheckpointEvent) -> None:
        self._saved = event.step
        if not self._out.is_terminal:
            self._quiet_line("checkpoint", f"step {event.step}")

    def _memory(self, event: MemoryEvent) -> None:
        """Early, while there is something to gain by knowing; how it ends is told with the result."""
        if not self._memory_told:
            error = deviation(event.measured, event.total_predicted)
            text = memory_text(event.total_predicted, event.measured, error)
            self._line("memory", f"{text} after {plural(event.step, 'step')}")
        self._memory_told = True

    def _bar(self, label: str, done: int, total: int | None, text: str) -> None:
        if not self._out.is_terminal:
            self._quiet_line(label, text)
            return
        if self._task is None or label != self._label:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task, self._label = self._progress.add_task(text, total=total, label=label), label
        self._progress.update(self._task, completed=done, total=total, description=text)

    def _quiet_line(self, label: str, text: str) -> None:
        now = time.monotonic()
        if label != self._label or now - self._told_at >= QUIET_SECONDS:
            self._line(label, text)
            self._label, self._told_at = label, now

    def _line(self, label: str, text: str) -> None:
        print_text(self._out, text, label=line_label(label), indent=LABEL_WIDTH + 1)

    def _metrics(self, event: EvaluationEvent) -> None:
        label = line_label(event.subject)
        print_parts(self._out, evaluation_parts(event), separator=", ", label=label, indent=LABEL_WIDTH + 1)


def evaluation_parts(event: EvaluationEvent) -> Sequence[str]:
    """The metrics of one model; phrases of one line."""
    first, *others = [f"{name} {metric_text(name, value)}" for name, value in event.metrics.items()]
    return (f"{event.rows} held-out rows: {first}", *others)
