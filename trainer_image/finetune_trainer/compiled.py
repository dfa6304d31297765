"""DeepSpeed's compiled operations: whether what a plan needs of them is there, before anything long begins."""

import importlib
import os
import subprocess
import sysconfig
from collections.abc import Mapping
from typing import Any, Final

from deepspeed.ops.op_builder import CPUAdamBuilder
from deepspeed.ops.op_builder.builder import OpBuilder

from finetune_trainer.exit_codes import ExitCode, TrainerError

FAULTS: Final = (ImportError, RuntimeError, OSError, subprocess.CalledProcessError)
"""What compiling ends with where a compiler, its headers or ninja are missing."""


def load_cpu_optimizer(deepspeed: Mapping[str, Any]) -> None:
    """Load the optimizer that steps in RAM, where a plan has it; compiled on the spot where it doesn't come compiled.

    Raises:
        TrainerError: CONFIGURATION, it is neither here nor can it be compiled.

    Notes:
        DeepSpeed takes what was compiled with it only on the kind of device that was there meanwhile, and images are
        built where there is no GPU: each pod would compile it anew. It runs on the processor all the same.
    """
    if not deepspeed.get("zero_force_ds_cpu_optimizer", False):
        return
    builder: Any = CPUAdamBuilder()
    try:
        OpBuilder._loaded_ops[builder.name] = importlib.import_module(builder.absolute_name())  # noqa: SLF001  no other way
    except ImportError:
        _compile(builder)


def _compile(builder: Any) -> None:
    # ninja comes with DeepSpeed and lies beside python, which may have been called by its path
    os.environ["PATH"] = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)))
    try:
        builder.load(verbose=False)
    except FAULTS as e:
        raise TrainerError(
            ExitCode.CONFIGURATION,
            "the plan keeps optimizer state in RAM, and DeepSpeed's optimizer for that doesn't come compiled and can't "
            f"be compiled here ({_last_word(e)}); use an image that was built with CPU_ADAM=1, or install a C++ "
            "compiler (c++), or choose an option without offload and write another output.path",
        ) from e


def _last_word(error: BaseException) -> str:
    """The compiler's own, where it has spoken."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("ninja:")]
    return said[-1] if said else type(error).__name__
