"""Estimated against measured speed of published runs: `python benchmarks/speed_model.py CSV [--json] [--fit]`.

The CSV has a row a run; columns: source, model, method, lora_r, targets, seq_len, micro_batch, grad_ckpt, loss_impl,
zero, fsdp, world, gpu, speed, speed_unit (tokens/s/gpu), framework, note. The constants are fitted on half of the
clusters (source, model, method) and judged by the other half.
"""

import argparse
import itertools
import json
import math
import statistics
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from finetune_operator.api.spec import Method
from finetune_operator.planner.efficiency import FITTED, Efficiency
from finetune_operator.planner.speed import micro_step_seconds
from speed_runs import Run, anchors, read_runs

BOUNDS: Final = {
    "matmul": (0.6, 0.9),
    "attention": (0.5, 0.7),
    "elementwise": (1.0, 3.0),
    "adapter_bytes": (4.0, 20.0),
    "logit_bytes": (10.0, 60.0),
    "unpack_bytes": (2.5, 20.0),
    "launch": (0.2e-3, 3e-3),
    "launch_gather": (1.0, 3.0),
    "overlap": (0.0, 1.0),
}
"""What is physically possible: a fit outside of it would explain something else with that constant."""

ROUNDS: Final = 40
"""Times that the fit goes through all constants; it has settled by then."""


def estimate(run: Run, fit: Efficiency = FITTED) -> float:
    """Tokens a second and device, without the optimizer's step: how many micro-steps share one isn't published."""
    setting = run.setting
    return setting.tokens / micro_step_seconds(run.work, setting, run.node, setting.length, fit, run.stack)


def is_fitted(run: Run) -> bool:
    """Whether its cluster is in the half that the constants are fitted on: by the name, so that it stays there."""
    return zlib.crc32(run.cluster.encode()) % 2 == 0


def error(run: Run, fit: Efficiency = FITTED) -> float:
    """Logarithm of estimated over measured."""
    return math.log(estimate(run, fit) / run.measured)


def figures(runs: Sequence[Run]) -> dict[str, float]:
    """Errors in percent of the measured speed."""
    off = sorted(100 * abs(math.expm1(error(r))) for r in runs)
    signed = [100 * math.expm1(error(r)) for r in runs]
    return {
        "n": len(runs),
        "median": round(statistics.median(off), 1),
        "mape": round(statistics.fmean(off), 1),
        "p90": round(off[math.ceil(0.9 * len(off)) - 1], 1),
        "bias": round(statistics.median(signed), 1),
    }


def spread(runs: Sequence[Run]) -> dict[str, float]:
    """Measured time over estimated: 10th and 90th percentile, each cluster weighing the same."""
    sizes = {name: len(members) for name, members in grouped(runs, lambda r: r.cluster).items()}
    ratios = sorted((math.exp(error(r)), 1 / sizes[r.cluster] / len(sizes)) for r in runs)
    shares = list(itertools.accumulate(weight for _, weight in ratios))
    low, high = (next(r for (r, _), s in zip(ratios, shares, strict=True) if s >= at - 1e-9) for at in (0.1, 0.9))
    return {"n": len(runs), "p10": round(low, 2), "p90": round(high, 2)}


def regimes(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by what decides how well they are estimated."""

    def regime(run: Run) -> str:
        if run.work.method is Method.QLORA:
            return "4-bit weights"
        return "several devices" if run.setting.sharding.world > 1 or run.setting.sharding.stage == 3 else "one device"

    return grouped(runs, regime)


def grouped(runs: Sequence[Run], name: Callable[[Run], str]) -> dict[str, list[Run]]:
    """Runs by a name, in its order."""
    found: dict[str, list[Run]] = {}
    for run in sorted(runs, key=name):
        found.setdefault(name(run), []).append(run)
    return found


def fit_constants(runs: Sequence[Run]) -> Efficiency:
    """Constants with the least mean absolute error of the logarithm, each cluster weighing the root of its size."""
    sizes = {name: len(members) for name, members in grouped(runs, lambda r: r.cluster).items()}

    def loss(fit: Efficiency) -> float:
        return sum(abs(error(r, fit)) / math.sqrt(sizes[r.cluster]) for r in runs)

    # from the middle, so that the constants found don't depend on those in use
    best = Efficiency(**{name: (low + high) / 2 for name, (low, high) in BOUNDS.items()})
    least = loss(best)
    for _ in range(ROUNDS):
        for name, (low, high) in BOUNDS.items():
            for factor in (0.7, 0.9, 0.97, 0.99, 1.01, 1.03, 1.1, 1.4):
                value = min(high, max(low, getattr(best, name) * factor))
                tried = replace(best, **{name: value})
                if (found := loss(tried)) < least:
                    best, least = tried, found
    return best


def report(runs: Sequence[Run], left_out: int) -> dict[str, Any]:
    """Everything that is printed."""
    halves = {"fit": [r for r in runs if is_fitted(r)], "other": [r for r in runs if not is_fitted(r)]}
    return {
        "left_out": left_out,
        "all": figures(runs),
        **{name: figures(half) for name, half in halves.items() if half},
        "clusters": {n: {"fit": is_fitted(c[0]), **figures(c)} for n, c in grouped(runs, lambda r: r.cluster).items()},
        "spread": {name: spread(members) for name, members in regimes(runs).items()},
        "spread_other": {name: spread(members) for name, members in regimes(halves["other"]).items()},
        "anchors": [
            {
                "source": run.source,
                "run": f"{run.model} {run.work.method.value}",
                "measured": run.measured,
                "estimated": round(estimate(run)),
                "error": round(100 * math.expm1(error(run)), 1),
            }
            for run in anchors()
        ],
    }


def show(found: dict[str, Any]) -> None:
    """The report for reading."""
    names = ("n", "median", "mape", "p90", "bias")
    print(f"{'errors in percent':44}" + "".join(f"{n:>8}" for n in names))
    halves = [(n, found[n]) for n in ("all", "fit", "other") if n in found]
    clusters = [(f"{'fit  ' if c['fit'] else 'other'} {name}", c) for name, c in found["clusters"].items()]
    for name, row in halves + clusters:
        print(f"{name:44}" + "".join(f"{row[n]:>8}" for n in names))
    print("\nmeasured time over estimated, 10th to 90th percentile")
    for half, key in (("all", "spread"), ("other", "spread_other")):
        for name, row in found[key].items():
            print(f"{half + ' ' + name:44}{row['n']:>8}   {row['p10']} to {row['p90']}")
    print("\nH100, tokens a second and device: measured, estimated, error in percent")
    for row in found["anchors"]:
        print(f"{row['source'] + ': ' + row['run']:56}{row['measured']:>8}{row['estimated']:>8}{row['error']:>8}")
    print(f"\n{found['left_out']} rows left out: other units, models or devices")


def main() -> None:
    """Read, judge, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("csv", type=Path)
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--fit", action="store_true", help="print the constants that fit the fitted half best")
    asked = parser.parse_args()
    runs, left_out = read_runs(asked.csv)
    if asked.fit:
        print(json.dumps(asdict(fit_constants([r for r in runs if is_fitted(r)])), indent=2))
        return
    found = report(runs, left_out)
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
