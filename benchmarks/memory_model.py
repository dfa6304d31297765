"""Predicted against published peak memory: how true the planner's memory model is.

python benchmarks/memory_model.py CASES.csv            a report to read
python benchmarks/memory_model.py CASES.csv --json     the same as one object
python benchmarks/memory_model.py CASES.csv --fit      fit the empirical constants on one half of the clusters, and
                                                       report both halves with them

Errors are percentages of the measured value: below zero the model predicts too little. A cluster is one experiment:
source, model and method.
"""

import argparse
import csv
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetune_operator.planner.memory import moments
from finetune_operator.planner.reserved import process_bytes, reserved_bytes
from finetune_operator.planner.solver import needed
from finetune_operator.planner.states import device_states
from finetune_operator.units import GIB
from fitting import fit, halves
from stacks import CHUNKED, Case, UnreadableRowError, device_memory, read_case

METRICS: Final = ("allocated", "reserved", "process")
"""What is measured: the allocator's peak, what it had taken from the driver, what nvidia-smi shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One case: predicted, measured."""

    case: Case
    predicted: float
    """GiB, as is the next."""
    measured: float

    @property
    def error(self) -> float:
        """In per cent of the measured value."""
        return 100 * (self.predicted - self.measured) / self.measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """GiB of one case."""

    allocated: float
    reserved: float
    process: float
    needed: float
    """What has to be there for the run to go through."""


def predict(case: Case) -> Prediction:
    """All figures of a case."""
    workload, setting = case.workload, case.setting
    states = device_states(workload, setting.sharding)
    found = moments(workload, setting, states)
    allocated = states.weights + states.optimizer + max(m.total for m in found.values())
    reserved = reserved_bytes(workload, setting, states, found)
    memory = device_memory(case.row["gpu"])
    limit = None if memory is None else round(memory * GIB)
    return Prediction(
        allocated=allocated / GIB,
        reserved=reserved / GIB,
        process=process_bytes(reserved, allocated, setting, limit) / GIB,
        needed=needed(allocated, setting) / GIB,
    )


def score(cases: Iterable[Case]) -> list[Score]:
    """Every case that has a measured value."""
    return [
        Score(case=c, predicted=getattr(predict(c), c.row["metric"]), measured=float(c.row["measured_gib"]))
        for c in cases
        if c.row["metric"] in METRICS
    ]


def summarise(scores: Sequence[Score]) -> dict[str, Any]:
    """n, mean absolute error, its 95th percentile, the worst on either side; in per cent."""
    errors = [s.error for s in scores]
    size = sorted(abs(e) for e in errors)
    return {
        "n": len(size),
        "mape": round(sum(size) / len(size), 2),
        "p95": round(size[min(len(size) - 1, int(0.95 * len(size)))], 2),
        "worst_under": round(min(0.0, *errors), 2),
        "worst_over": round(max(0.0, *errors), 2),
    }


def verdicts(cases: Sequence[Case]) -> dict[str, Any]:
    """How often the model is right about what fits, a run counted once: one that was measured did."""
    runs: dict[tuple[str, ...], Case] = {}
    for case in cases:
        if device_memory(case.row["gpu"]) is not None:
            runs.setdefault(_run(case), case)
    right = false_fit = 0
    for case in runs.values():
        fits = predict(case).needed <= (device_memory(case.row["gpu"]) or 0)
        did = case.row["metric"] != "oom"
        right += fits is did
        false_fit += fits and not did
    n = max(1, len(runs))
    return {"n": len(runs), "right": round(100 * right / n, 2), "false_fit": round(100 * false_fit / n, 2)}


def _run(case: Case) -> tuple[str, ...]:
    """What tells runs apart; a note about how a value was measured doesn't."""
    apart = ("case", "metric", "measured_gib", "quality", "speed", "speed_unit", "url", "note")
    note = case.row["note"].split(" (nvidia-smi")[0].split(" OOM")[0]
    return (*(value for key, value in case.row.items() if key not in apart), note)


def groups(scores: Sequence[Score]) -> dict[str, list[Score]]:
    """The parts that have goals of their own."""
    found: dict[str, list[Score]] = defaultdict(list)
    for s in scores:
        row = s.case.row
        found[row["metric"]].append(s)
        if row["metric"] == "process":
            engine = row["zero"].rstrip(".0") != ""
            loss = "chunked loss" if row["loss_impl"] in CHUNKED else "whole logits"
            found["process, DeepSpeed" if engine else f"process, {loss}"].append(s)
        found[f"{row['metric']}, {row['method']}"].append(s)
    return dict(sorted(found.items()))


def report(cases: Sequence[Case]) -> dict[str, Any]:
    """Everything: by metric, by part and by cluster."""
    scores = score(cases)
    clusters: dict[tuple[str, ...], list[Score]] = defaultdict(list)
    for s in scores:
        clusters[(s.case.row["metric"], *s.case.cluster)].append(s)
    by_metric = {m: summarise(found) for m in METRICS if (found := [s for s in scores if s.case.row["metric"] == m])}
    return {
        **by_metric,
        "fit": verdicts(cases),
        "groups": {name: summarise(found) for name, found in groups(scores).items()},
        "clusters": {" / ".join(key): summarise(found) for key, found in sorted(clusters.items())},
    }


def read_cases(path: Path) -> tuple[list[Case], list[str]]:
    """The rows that can be expressed, and why the others can't."""
    cases, refused = [], []
    with path.open(encoding="utf-8", newline="") as f:
        for row in csv.DictReader(f):
            try:
                cases.append(read_case(row))
            except UnreadableRowError as e:
                refused.append(str(e))
    return cases, refused


def print_report(found: dict[str, Any], title: str) -> None:
    """A table to read."""
    print(f"\n{title}")
    print(f"{'':58s}{'n':>5s}{'mean':>8s}{'p95':>8s}{'under':>8s}{'over':>8s}")
    for part in ("groups", "clusters"):
        for name, s in found[part].items():
            print(
                f"{name:58s}{s['n']:5d}{s['mape']:7.1f}%{s['p95']:7.1f}%{s['worst_under']:7.1f}%{s['worst_over']:7.1f}%"
            )
        print()
    judged = found["fit"]
    print(f"fits or not: {judged['right']:.1f}% of {judged['n']} runs right, false fits {judged['false_fit']:.1f}%")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 where no row could be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path, help="cases with the columns of the published ones")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--fit", action="store_true", help="fit on half of the clusters, report both halves")
    given = parser.parse_args(arguments)
    try:
        cases, refused = read_cases(given.csv)
    except (OSError, KeyError, ValueError) as e:
        print(f"{given.csv}: can't be read as cases: {e!r}", file=sys.stderr)
        return 2
    for sentence in refused:
        print(sentence, file=sys.stderr)
    if not cases:
        print(f"{given.csv}: has no case that can be expressed", file=sys.stderr)
        return 2
    parts = {"all cases": cases}
    constants: dict[str, float] = {}
    if given.fit:
        seen, unseen = halves(cases)
        # read anew each time: what a layer costs is counted when a case is read
        constants = fit(lambda: score([read_case(c.row) for c in seen]))
        seen, unseen = ([read_case(c.row) for c in half] for half in (seen, unseen))
        parts = {"the half that was fitted on": seen, "the other half": unseen}
    found = {title: report(part) for title, part in parts.items()}
    if given.json:
        whole = found if given.fit else found["all cases"]
        print(json.dumps({**whole, **({"constants": constants} if given.fit else {})}))
        return 0
    for title, part in found.items():
        print_report(part, title)
    for name, value in constants.items():
        print(f"{name} = {value:g}")
    return 0


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader is gone (| head); what is still buffered has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
