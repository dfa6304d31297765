"""Starts one process a device and ends with the exit code of the first cause.

Run as `python -m finetune_trainer.launch job.json`. For several it is torch's own launcher, in process: the program
torchrun turns every failure into exit code 1, and whoever started us would learn nothing. One rank is started without
it, seconds earlier: torch is then imported once.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Final

from finetune_trainer.environment import CGROUP, cores
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.failures import explain
from finetune_trainer.interrupts import LAUNCHER
from finetune_trainer.job_config import STOP_ON_EOF, JobConfig, load_job
from finetune_trainer.meeting import PATIENCE_SECONDS, Meeting, meeting_of, wait_for_first
from finetune_trainer.progress import FAILURES, LeftFailure, emit_failure, left_failures

OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Environment of the ranks: everything that they read is on the disk, and nobody is told what they do."""

NO_GPU: Final = {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}
"""Environment of the ranks of a CPU plan: DeepSpeed would move the model to a GPU that the machine happens to have."""

FORWARD_SECONDS: Final = 0.2
"""Between two looks for ranks that haven't been told yet to stop."""

STOPPED_EARLY: Final = "stopped on request before training: no checkpoint was needed; run the same command again"
"""Said where a rank was ended before it could answer for itself."""


def main() -> int:
    """Launch the job of the file named on the command line; its exit code."""
    if len(sys.argv) != 2:
        return emit_failure(ExitCode.CONFIGURATION, "usage: python -m finetune_trainer.launch job.json")
    path = Path(sys.argv[1])
    try:
        job = load_job(path)
        meeting = meeting_of(job.world, os.environ)
    except TrainerError as e:
        return emit_failure(e.code, e.message)
    # before torch is imported, which takes seconds: a request to stop is never lost
    stop = _Stop()
    os.environ.update(rank_environment(job) | {LAUNCHER: str(os.getpid())})
    allowed = cores(CGROUP)
    if job.world.devices_per_node > 1 or allowed < (os.cpu_count() or 1):
        # each rank would take all cores, also those that a container's limit keeps from it
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, allowed // job.world.devices_per_node)))
    if os.environ.get(STOP_ON_EOF) == "1":
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    try:
        wait_for_first(meeting, lambda: stop.asked)
        command = (sys.executable, "-u", "-m", "finetune_trainer", str(path))
        if job.world.size == 1:
            return _launch_one(command, meeting, stop)
        return _launch(job, command, meeting, stop)
    except TrainerError as e:
        return emit_failure(e.code, e.message)
    finally:
        stop.close()


def rank_environment(job: JobConfig) -> dict[str, str]:
    """What the ranks of a job find in their environment beside ours."""
    return OFFLINE | (NO_GPU if job.world.accelerator == "CPU" else {})


class _Stop:
    """Passes a request to stop on to the ranks, also to those that start after it came; until it is closed.

    The flags are plain: a handler that took a lock could meet itself.
    """

    def __init__(self) -> None:
        self.asked = False
        self._closed = False
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give the signals back and leave later children alone."""
        self._closed = True
        self._thread.join()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True

    def _forward(self) -> None:
        import psutil

        told: set[int] = set()
        while not self._closed:
            for child in psutil.Process().children() if self.asked else ():
                if child.pid not in told:
                    # it may have ended since it was listed
                    with suppress(psutil.NoSuchProcess):
                        child.terminate()
                    told.add(child.pid)
            time.sleep(FORWARD_SECONDS)


def _launch_one(command: Sequence[str], meeting: Meeting, stop: _Stop) -> int:
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    place = {"MASTER_ADDR": meeting.host, "MASTER_PORT": str(meeting.port)}
    # a session of its own, as torch's launcher gives it: a terminal's Ctrl-C comes to us alone
    done = subprocess.run(command, env={**os.environ, **alone, **place}, start_new_session=True, check=False)
    return _code_of(done.returncode, stop)


def _launch(job: JobConfig, command: Sequence[str], meeting: Meeting, stop: _Stop) -> int:
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    several = job.world.devices_per_node > 1
    config = LaunchConfig(
        min_nodes=job.world.nodes,
        max_nodes=job.world.nodes,
        nproc_per_node=job.world.devices_per_node,
        run_id=job.name,
        rdzv_backend="static",
        rdzv_endpoint=f"{meeting.host}:{meeting.port}",
        rdzv_configs={"rank": meeting.node, "timeout": PATIENCE_SECONDS},
        max_restarts=0,
        # SIGTERM and SIGINT are ours: the agent would give the ranks 30 s and forget their exit codes
        signals_to_handle="SIGQUIT",
    )
    with TemporaryDirectory(prefix="finetune-") as folder:
        if several:
            os.environ[FAILURES] = folder
        try:
            elastic_launch(config, command[0])(*command[1:])
        except ChildFailedError as e:
            os.environ.pop(FAILURES, None)
            ends = {rank: (f.timestamp, f.exitcode) for rank, f in e.failures.items()}
            return _first_cause(ends, left_failures(Path(folder)), stop)
        except DistError as e:
            # the launchers of other nodes aren't there, or have gone
            failure = explain(e)
            raise TrainerError(failure.code, failure.message) from e
    return ExitCode.OK


def _first_cause(ends: Mapping[int, tuple[float, int]], left: Mapping[int, LeftFailure], stop: _Stop) -> int:
    """The code of the rank that failed first, told where the rank couldn't or wasn't to.

    Args:
        ends: by rank, when its end was noticed, to the second, and its exit code.
        left: what ranks left to be told.
        stop: whether the end was asked for.
    """

    def order(rank: int) -> tuple[bool, float, bool]:
        when, code = ends[rank]
        if rank in left:
            # it may have been ended while it was ending by itself
            when, code = left[rank].time, left[rank].code
        # others fail because a rank is gone, or are ended for it
        return code == ExitCode.RANK_LOST, when, code != -signal.SIGKILL

    first = min(ends, key=order)
    if first in left:
        return emit_failure(ExitCode(left[first].code), left[first].message)
    return _code_of(ends[first][1], stop)


def _code_of(exit_code: int, stop: _Stop) -> int:
    if exit_code in set(ExitCode):
        return exit_code
    if exit_code == -signal.SIGTERM and stop.asked:
        return emit_failure(ExitCode.INTERRUPTED, STOPPED_EARLY)
    if exit_code == -signal.SIGKILL:
        return emit_failure(
            ExitCode.HOST_OUT_OF_MEMORY,
            "the training process was killed from outside (SIGKILL): the machine ran out of memory, or somebody ended "
            "it; run the same command again to go on, with fewer other programs running",
        )
    what = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return emit_failure(ExitCode.INTERNAL, f"the training process ended unexpectedly with {what}; see the log")


def _stop_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
