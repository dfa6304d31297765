"""Starts one process a device and ends with the exit code of the first cause.

Run as `python -m finetune_trainer.launch job.json`. It is torch's own launcher, in process: the program
torchrun turns every failure into exit code 1, and whoever started us would learn nothing.
"""

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import JobConfig, load_job
from finetune_trainer.progress import emit_failure

STOP_ON_EOF = "FINETUNE_STOP_ON_EOF"
"""Environment: with "1", the end of standard input means that whoever started us is gone, and we stop."""


FORWARD_SECONDS = 0.2
"""Between two looks for ranks that haven't been told yet to stop."""

STOPPED_EARLY = "stopped on request before training began; run the same command again"
"""Said where a rank was ended before it could answer for itself."""


def main() -> int:
    """Launch the job of the file named on the command line; its exit code."""
    if len(sys.argv) != 2:
        return emit_failure(ExitCode.CONFIGURATION, "usage: python -m finetune_trainer.launch job.json")
    path = Path(sys.argv[1])
    try:
        job = load_job(path)
    except TrainerError as e:
        return emit_failure(e.code, e.message)
    # before torch is imported, which takes seconds: a request to stop is never lost
    stop = _Stop()
    if os.environ.get(STOP_ON_EOF) == "1":
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    return _launch(job, path, stop)


class _Stop:
    """Passes a request to stop on to the ranks, also to those that start after it came."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        threading.Thread(target=self._forward, daemon=True).start()

    @property
    def asked(self) -> bool:
        """Somebody wants us to end."""
        return self._asked.is_set()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked.set()

    def _forward(self) -> None:
        import psutil

        self._asked.wait()
        told: set[int] = set()
        while True:
            for child in psutil.Process().children():
                if child.pid not in told:
                    told.add(child.pid)
                    child.terminate()
            time.sleep(FORWARD_SECONDS)


def _launch(job: JobConfig, path: Path, stop: _Stop) -> int:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=job.world.devices_per_node,
        run_id=job.name,
        rdzv_backend="static",
        rdzv_endpoint=f"127.0.0.1:{_free_port()}",
        rdzv_configs={"rank": 0},
        max_restarts=0,
        # SIGTERM and SIGINT are ours: the agent would give the ranks 30 s and forget their exit codes
        signals_to_handle="SIGQUIT",
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", "finetune_trainer", str(path))
    except ChildFailedError as e:
        return _code_of(e.get_first_failure()[1].exitcode, stop)
    return ExitCode.OK


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


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
