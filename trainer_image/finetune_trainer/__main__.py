"""One rank: read job.json, run, end with a code that says why."""

import sys
import traceback
from pathlib import Path

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.failures import explain
from finetune_trainer.interrupts import StopFlag
from finetune_trainer.job_config import load_job
from finetune_trainer.progress import emit_failure


def main() -> int:
    """Run the rank of the job file named on the command line."""
    # before torch is imported, which takes seconds: a request to stop is never lost
    stop = StopFlag()
    stop.install()
    try:
        path = Path(sys.argv[1])
        job = load_job(path)
        from finetune_trainer.run import run

        stop.check()
        run(job, path, stop)
    except TrainerError as e:
        return emit_failure(e.code, e.message)
    except Exception as e:  # noqa: BLE001  the outermost loop: every failure becomes a code and a sentence
        traceback.print_exc()
        failure = explain(e)
        return emit_failure(failure.code, failure.message)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
