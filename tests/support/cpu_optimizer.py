"""Asks the trainer for DeepSpeed's optimizer in RAM, in a process of its own: what DeepSpeed has loaded stays loaded.

Run as `python -m tests.support.cpu_optimizer`; the kind of device that DeepSpeed finds is DS_ACCELERATOR.
"""

import sys
from pathlib import Path
from typing import Any

from finetune_trainer.compiled import load_cpu_optimizer
from finetune_trainer.exit_codes import TrainerError


def main() -> int:
    """Print where the optimizer was loaded from; the trainer's exit code and sentence where it wasn't."""
    from deepspeed.ops import adam

    # where an image has what was compiled when it was built
    adam.__path__.extend(sys.argv[1:])
    try:
        load_cpu_optimizer({"zero_force_ds_cpu_optimizer": True})
    except TrainerError as e:
        sys.stdout.write(f"{e.message}\n")
        return int(e.code)
    from deepspeed.ops.op_builder import CPUAdamBuilder

    builder: Any = CPUAdamBuilder()
    sys.stdout.write(f"{Path(builder.load().__file__).resolve()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
