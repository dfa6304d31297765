"""A job in the cluster as it goes on: a line for each change, a live bar on a terminal."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from finetune_operator.api.conditions import Condition, ConditionType
from finetune_operator.api.status import ProgressStatus
from finetune_operator.cli.output import console, print_text
from finetune_operator.local.cluster_job import ClusterJob
from finetune_operator.units import human_count, human_duration, parse_duration

LABEL_COLUMNS: Final = 18
"""As many as the longest phase has, and a space."""


class WatchView(AbstractContextManager["WatchView"]):
    """Shows one job."""

    def __init__(self) -> None:
        self.out = console()
        self._progress = Progress(
            TextColumn("{task.fields[label]:<" + str(LABEL_COLUMNS - 1) + "}"),
            BarColumn(bar_width=min(self.out.width, 150) // 5),
            TextColumn("{task.description}"),
            console=self.out,
            transient=True,
            disable=not self.out.is_terminal,
        )
        self._task: TaskID | None = None
        self._told: dict[ConditionType, tuple[str, str, str]] = {}
        self._step = -1
        self._saved = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, job: ClusterJob) -> None:
        """Tell what is new."""
        status = job.status
        for condition in status.conditions:
            self._condition(condition)
        if status.progress is not None:
            self._show_progress(status.phase, status.progress)
        if status.checkpoint is not None and status.checkpoint.step > self._saved:
            self._saved = status.checkpoint.step
            self._line("checkpoint", f"step {self._saved}")

    def _condition(self, condition: Condition) -> None:
        said = (condition.status.value, condition.reason, condition.message)
        if self._told.get(condition.type) != said:
            self._told[condition.type] = said
            self._line(condition.reason, condition.message)

    def _show_progress(self, phase: str, p: ProgressStatus) -> None:
        left = f"{human_duration(parse_duration(p.remaining))} left"
        speed = f"{human_count(p.tokens_per_second)} tok/s"
        held_out = () if p.evaluation_loss is None else (f"held out {p.evaluation_loss}",)
        text = " · ".join((f"step {p.step}/{p.steps}", f"epoch {p.epoch}", f"loss {p.loss}", *held_out, speed, left))
        if self.out.is_terminal:
            if self._task is None:
                self._task = self._progress.add_task(text, total=p.steps, label=phase)
            self._progress.update(self._task, completed=p.step, total=p.steps, description=text, label=phase)
        elif p.step != self._step:
            self._line(phase, text)
        self._step = p.step

    def _line(self, label: str, text: str) -> None:
        print_text(self.out, text, label=Text(f"{label:<{LABEL_COLUMNS - 1}} ", style="bold"), indent=LABEL_COLUMNS)
