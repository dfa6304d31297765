"""One rank: read job.json, run, end with a code that says why."""

import logging
import sys
from pathlib import Path
from typing import Final

from finetune_trainer.failures import exit_code_of
from finetune_trainer.interrupts import StopFlag, stop_with_launcher
from finetune_trainer.job_config import load_job

FEW_BITS: Final = "bitsandbytes"
"""PEFT imports it wherever it is installed, and it brings torch's compiler along: two seconds."""

UNUSED_KERNELS: Final = "bitsandbytes.backends.cpu.ops"
"""Warns whenever it is imported on a CPU with bfloat16 that kernels from the hub are missing: training uses none."""


def main() -> int:
    """Run the rank of the job file named on the command line."""
    # before torch is imported, which takes seconds: a request to stop is never lost
    stop = StopFlag()
    stop.install()
    stop_with_launcher(stop)
    return exit_code_of(lambda: _run(Path(sys.argv[1]), stop))


def _run(path: Path, stop: StopFlag) -> None:
    job = load_job(path)
    if job.quantization is None and job.training.optimizer == "AdamW":
        # as if it weren't installed
        sys.modules.setdefault(FEW_BITS, None)  # type: ignore[arg-type]  # Python's own word for that
    logging.getLogger(UNUSED_KERNELS).setLevel(logging.ERROR)
    from finetune_trainer.run import run

    stop.check()
    run(job, path, stop)


if __name__ == "__main__":
    sys.exit(main())
