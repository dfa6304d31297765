"""How many jobs the operator carries: `python benchmarks/operator_load.py [--json] [--jobs N] [--rate N] [--nodes N]`.

A control plane of its own is started on this machine (built on the first run, which takes minutes), with nodes that
nobody has, the operator, and so many jobs at once; then a raw client creates the same children without any operator,
and their pods run, too. Both take the same processors, so their ratio is what to compare between machines.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

# the control plane that it starts is the tests' own
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.processes import Process, free_port

from finetune_operator.kube import connection
from finetune_operator.kube.kinds import CONFIG_MAPS, FINE_TUNE_JOBS, JOBS, SERVICES, Kind, Object
from finetune_operator.kube.rest import RestClient
from finetune_operator.renderers.names import ATTEMPT_LABEL, JOB_LABEL
from load_cluster import NAMESPACE, cluster_cpu, load_cluster, make_load, used
from load_watch import Sort, watch

CHILDREN: Final = (CONFIG_MAPS, JOBS, SERVICES)
WARMING: Final = 5
"""Jobs before those that are counted."""

AT_ONCE: Final = 32
"""Requests of the raw client, and of whoever applies jobs, that are under way at the same time."""

IDLE: Final = 8.0
"""Seconds of rest, and as many that are measured, before the load."""

PATIENCE: Final = 1800.0
"""Seconds until the whole is given up."""

WRITES: Final = frozenset({"create", "update", "patch", "delete"})


@dataclass
class Times:
    """When what happened to each job, by the clock of this process."""

    applied: dict[str, float] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    """Its last child was there."""
    running: dict[str, float] = field(default_factory=dict)
    """Its status said so."""
    ended: dict[str, float] = field(default_factory=dict)

    def since_applied(self, what: Mapping[str, float]) -> list[float]:
        return sorted(at - self.applied[name] for name, at in what.items() if name in self.applied)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of sorted values that so many are no larger than; 0 of none."""
    return values[max(0, ceil(share * len(values)) - 1)] if values else 0.0


def rate(times: Times, what: Mapping[str, float]) -> float:
    """Jobs a second, from the first that was applied to the last that got there."""
    counted = [at for name, at in what.items() if name in times.applied]
    return len(counted) / (max(counted) - min(times.applied.values()))


@asynccontextmanager
async def client_of(plane: ControlPlane) -> AsyncIterator[RestClient]:
    """The administrator's."""
    client = RestClient((await connection.load(plane.kubeconfig, None)).configuration)
    try:
        yield client
    finally:
        await client.close()


def start_operator(plane: ControlPlane, flags: Sequence[str]) -> Process:
    """As in production, but for its address."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "finetune_operator", "--kubeconfig", str(plane.kubeconfig)),
        *("--lease-namespace", NAMESPACE, "--trainer-image", "none:1", "--log-level", "warning"),
        *("--health-host", "127.0.0.1", "--health-port", str(port), *flags),
    ]
    process = Process("operator", command, plane.place.folder / "operator.log")
    process.start()
    return process


async def apply_all(client: RestClient, names: Sequence[str], every: float, times: Times) -> None:
    """Jobs, at once or one after so many seconds."""
    some = asyncio.Semaphore(AT_ONCE)

    async def apply(number: int, name: str) -> None:
        await asyncio.sleep(every * number)
        async with some:
            times.applied[name] = time.monotonic()
            await client.create(FINE_TUNE_JOBS, make_load(name))

    await asyncio.gather(*(apply(number, name) for number, name in enumerate(names)))


async def carry(
    plane: ControlPlane, names: Sequence[str], every: float, told: Callable[[Times], None], operator: Process
) -> Times:
    """Apply jobs, and wait until all have ended.

    Raises:
        TimeoutError: they haven't in half an hour.
        RuntimeError: the operator has ended.
    """
    times, wanted = Times(), set(names)

    def child(row: Mapping[str, Any]) -> None:
        labels = row["metadata"].get("labels") or {}
        if ATTEMPT_LABEL in labels:
            times.started.setdefault(labels[JOB_LABEL], time.monotonic())

    def job(row: Mapping[str, Any]) -> None:
        name, phase = row["metadata"]["name"], row["phase"]
        if phase in {"Training", "Succeeded"}:
            times.running.setdefault(name, time.monotonic())
        if phase == "Succeeded":
            times.ended.setdefault(name, time.monotonic())

    server = (await connection.load(plane.kubeconfig, None)).configuration
    watches = [
        asyncio.create_task(watch(server, JOBS, NAMESPACE, Sort.METADATA, child)),
        asyncio.create_task(watch(server, FINE_TUNE_JOBS, NAMESPACE, Sort.TABLE, job)),
    ]
    try:
        async with asyncio.timeout(PATIENCE), client_of(plane) as client:
            await apply_all(client, names, every, times)
            while not wanted <= times.ended.keys():
                for done in watches:
                    if done.done():
                        done.result()
                operator.check()
                told(times)
                await asyncio.sleep(0.2)
    finally:
        for task in watches:
            task.cancel()
    return times


async def templates(plane: ControlPlane, job: str) -> list[tuple[Kind, Object]]:
    """What the operator made of a job, in its order, as a raw client would create it."""
    found: list[tuple[str, Kind, Object]] = []
    async with client_of(plane) as client:
        for kind in CHILDREN:
            for obj in await client.list_all(kind, namespace=NAMESPACE, selector=f"{JOB_LABEL}={job}"):
                meta = obj["metadata"]
                kept = {k: meta[k] for k in ("name", "namespace", "labels", "annotations") if k in meta}
                labels = kept["labels"] = dict(kept["labels"])
                labels.pop("controller-uid", None)
                spec = {k: v for k, v in obj.items() if k not in {"metadata", "status"}}
                found.append((meta["creationTimestamp"] + meta["resourceVersion"], kind, {**spec, "metadata": kept}))
    return [(kind, plain(obj)) for _, kind, obj in sorted(found, key=lambda f: f[0])]


def plain(obj: Object) -> Object:
    """A Job without what the server has put into it."""
    if obj["kind"] != JOBS.kind:
        return obj
    spec = {k: v for k, v in obj["spec"].items() if k != "selector"}
    meta = spec["template"]["metadata"]
    labels = {k: v for k, v in meta["labels"].items() if "controller-uid" not in k and "job-name" not in k}
    return {**obj, "spec": {**spec, "template": {**spec["template"], "metadata": {**meta, "labels": labels}}}}


class Raw(NamedTuple):
    """What a client does that creates the children of so many jobs and nothing else."""

    created: float
    """Seconds until they were there."""
    created_cpu: float
    """Seconds of the processor that the control plane took until then."""
    ended: float
    """Seconds until the Jobs among them had run."""
    ended_cpu: float


async def run_raw(
    plane: ControlPlane, made: Sequence[tuple[Kind, Object]], number: int, told: Callable[[int], None]
) -> Raw:
    """Create them, and wait until their Jobs have ended.

    Raises:
        TimeoutError: they haven't in half an hour.
    """
    jobs, ended = number * sum(kind == JOBS for kind, _ in made), set[str]()

    def see(row: Mapping[str, Any]) -> None:
        if row["name"].startswith("raw-") and row["status"] == "Complete":
            ended.add(row["name"])

    server = (await connection.load(plane.kubeconfig, None)).configuration
    watching = asyncio.create_task(watch(server, JOBS, NAMESPACE, Sort.TABLE, see))
    try:
        begun, before = time.monotonic(), cluster_cpu(plane)
        await create_raw(plane, made, number, told)
        created, created_cpu = time.monotonic() - begun, cluster_cpu(plane) - before
        async with asyncio.timeout(PATIENCE):
            while len(ended) < jobs:
                if watching.done():
                    watching.result()
                await asyncio.sleep(0.2)
        return Raw(created, created_cpu, time.monotonic() - begun, cluster_cpu(plane) - before)
    finally:
        watching.cancel()


async def create_raw(
    plane: ControlPlane, made: Sequence[tuple[Kind, Object]], number: int, told: Callable[[int], None]
) -> None:
    """The children of so many jobs."""
    some, done = asyncio.Semaphore(AT_ONCE), 0
    async with client_of(plane) as client:

        async def create(index: int) -> None:
            nonlocal done
            async with some:
                for kind, obj in made:
                    meta = {**obj["metadata"], "name": f"raw-{index}-{obj['metadata']['name']}"[:63]}
                    await client.create(kind, {**obj, "metadata": meta})
            done += 1
            told(done)

        await asyncio.gather(*(create(index) for index in range(number)))


def writes_of(plane: ControlPlane, prefix: str, since: int) -> Counter[str]:
    """Requests by verb and resource that a program's user agent made since so many lines of the audit log."""
    asked = (e for e in plane.audit()[since:] if e.get("userAgent", "").startswith(prefix))
    return Counter(
        f"{e['verb']} {e['objectRef']['resource']}{'/' + sub if (sub := e['objectRef'].get('subresource')) else ''}"
        for e in asked
        if e["verb"] != "watch" and "objectRef" in e
    )


def is_write(request: str) -> bool:
    """Whether a request changes something that a job is made of."""
    return request.partition(" ")[0] in WRITES and not request.endswith("leases")


class Idle(NamedTuple):
    """Seconds of the processor that are used each second while nothing is asked for."""

    plane: float
    operator: float


async def idle_cpu(plane: ControlPlane, pid: int) -> Idle:
    """Measured for some seconds: on a busy machine a run takes long, and what ticks meanwhile isn't the jobs'."""
    await asyncio.sleep(IDLE)
    before, ours, begun = cluster_cpu(plane), used(pid).cpu, time.monotonic()
    await asyncio.sleep(IDLE)
    seconds = time.monotonic() - begun
    return Idle((cluster_cpu(plane) - before) / seconds, (used(pid).cpu - ours) / seconds)


async def measure(folder: Path, asked: argparse.Namespace, bar: Progress) -> dict[str, Any]:
    """The whole run."""
    number, every = asked.jobs, 1 / asked.rate if asked.rate else 0.0
    with load_cluster(folder, asked.nodes) as plane:
        operator = start_operator(plane, asked.flag)
        try:
            await carry(plane, [f"warm-{n}" for n in range(WARMING)], 0.0, lambda _: None, operator)
            made = await templates(plane, "warm-0")
            pid, lines = operator.pid or 0, len(plane.audit())
            idle = await idle_cpu(plane, pid)
            before, plane_before, begun = used(pid), cluster_cpu(plane), time.monotonic()
            line = bar.add_task("carried by the operator", total=number)
            names = [f"job-{n}" for n in range(number)]
            times = await carry(plane, names, every, lambda t: bar.update(line, completed=len(t.ended)), operator)
            after, plane_after, seconds = used(pid), cluster_cpu(plane), time.monotonic() - begun
            requests = writes_of(plane, "finetune-operator/", lines)
        finally:
            operator.stop()
        line = bar.add_task("created by a raw client", total=number)
        raw = await run_raw(plane, made, number, lambda done: bar.update(line, completed=done))
    writes = sum(count for request, count in requests.items() if is_write(request))
    return {
        "jobs": number,
        "a second": asked.rate or None,
        "children a job": len(made),
        "started_per_second": rate(times, times.started),
        "ended_per_second": rate(times, times.ended),
        "raw_per_second": number / raw.created,
        "ratio_to_raw": rate(times, times.started) / (number / raw.created),
        "raw_ended_per_second": number / raw.ended,
        "ratio_to_raw_ended": rate(times, times.ended) / (number / raw.ended),
        "seconds": {
            name: {"p50": percentile(found, 0.5), "p99": percentile(found, 0.99)}
            for name, what in (("started", times.started), ("running", times.running), ("ended", times.ended))
            for found in (times.since_applied(what),)
        },
        "operator_cpu_ms_a_job": 1e3 * (after.cpu - before.cpu - idle.operator * seconds) / number,
        "control_plane_cpu_ms_a_job": 1e3 * (plane_after - plane_before - idle.plane * seconds) / number,
        "raw_control_plane_cpu_ms_a_job": 1e3 * (raw.created_cpu - idle.plane * raw.created) / number,
        "raw_ended_control_plane_cpu_ms_a_job": 1e3 * (raw.ended_cpu - idle.plane * raw.ended) / number,
        "operator_peak_mib": after.peak / (1 << 20),
        "writes_a_job": writes / number,
        "requests_a_job": {request: count / number for request, count in sorted(requests.items())},
    }


def show(found: Mapping[str, Any], console: Console) -> None:
    """The figures for reading."""
    out = console.print
    out(f"{found['jobs']} jobs, {found['children a job']} children each")
    out(f"started by the operator   {found['started_per_second']:8.1f} jobs/s")
    out(f"ended                     {found['ended_per_second']:8.1f} jobs/s")
    out(f"created by a raw client   {found['raw_per_second']:8.1f} jobs/s")
    out(f"operator / raw client     {found['ratio_to_raw']:8.2f}")
    out(f"ended, of a raw client    {found['raw_ended_per_second']:8.1f} jobs/s")
    out(f"operator / raw client     {found['ratio_to_raw_ended']:8.2f}")
    for name, took in found["seconds"].items():
        out(f"applied -> {name:14} p50 {took['p50']:8.2f} s   p99 {took['p99']:8.2f} s")
    out(f"operator's processor time {found['operator_cpu_ms_a_job']:8.1f} ms a job")
    out(f"operator's memory, peak   {found['operator_peak_mib']:8.0f} MiB")
    out(f"control plane's           {found['control_plane_cpu_ms_a_job']:8.1f} ms a job")
    out(f"likewise, raw client      {found['raw_control_plane_cpu_ms_a_job']:8.1f} ms a job")
    out(f"likewise, until they end  {found['raw_ended_control_plane_cpu_ms_a_job']:8.1f} ms a job")
    out(f"operator's writes         {found['writes_a_job']:8.1f} a job")
    for request, count in found["requests_a_job"].items():
        out(f"  {request:34} {count:6.2f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--jobs", type=int, default=1000, help="FineTuneJobs (default: 1000)")
    parser.add_argument("--rate", type=float, default=0.0, help="jobs applied a second (default: all at once)")
    parser.add_argument("--nodes", type=int, default=130, help="nodes of eight devices (default: 130)")
    parser.add_argument("--folder", type=Path, help="where logs are kept (default: a folder that is removed)")
    parser.add_argument("--flag", action="append", default=[], help="of the operator, as --flag=--workers=16")
    asked = parser.parse_args(arguments)
    console = Console(stderr=True)
    columns = TextColumn("{task.description:>24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with tempfile.TemporaryDirectory() as own, Progress(*columns, console=console) as bar:
        folder: Path = (asked.folder or Path(own)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        found = asyncio.run(measure(folder, asked, bar))
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        show(found, Console(width=120, highlight=False))


if __name__ == "__main__":
    main()
