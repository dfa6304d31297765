"""Libraries' exceptions translated into our codes, in one place. No torch here: types are known by name."""

import errno
import traceback
from collections.abc import Callable
from typing import Final

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.progress import emit_failure

_DEVICE_MEMORY: Final = (
    "cuda out of memory",
    "cuda error: out of memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)
_HOST_MEMORY: Final = ("can't allocate memory", "cannot allocate memory", "std::bad_alloc")
_STORAGE: Final = (
    "no space left on device",
    "disk quota exceeded",
    "file write failed",
    "file too large",
    # what torch.save says when the disk fills up under its zip archive, to a path and to an open file
    "unexpected pos",
    "basic_ios::clear",
)
_STORAGE_NUMBERS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN_NUMBERS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_ACCELERATOR: Final = ("no cuda gpus are available", "found no nvidia driver", "no cuda-capable device is detected")
_ELSEWHERE: Final = "and write another output.path"
"""Ends each advice to change the job: an output folder refuses any job but its own."""
_RANK_GONE: Final = ("gloo/transport", "connection closed by peer", "connection was likely closed")
"""What torch says of another rank that ended under it."""
_RANK_ERRORS: Final = frozenset({"DistBackendError", "DistNetworkError", "DistStoreError"})
"""Likewise, by their type."""
_LOSS_SCALE: Final = "current loss scale already at minimum"


def exit_code_of(work: Callable[[], None]) -> int:
    """Do what a process is there for; the code that it ends with, its failure told in one sentence."""
    try:
        work()
    except TrainerError as e:
        return emit_failure(e.code, e.message)
    except Exception as e:  # noqa: BLE001  the outermost loop: every failure becomes a code and a sentence
        traceback.print_exc()
        failure = explain(e)
        return emit_failure(failure.code, failure.message)
    return ExitCode.OK


def explain(error: BaseException) -> TrainerError:
    """The failure that an exception of torch, safetensors, DeepSpeed or the system stands for."""
    for cause in _chain(error):
        known = _translate(cause)
        if known is not None:
            return known
    return TrainerError(
        ExitCode.INTERNAL,
        f"unexpected {type(error).__name__}: {_first_line(error) or 'no message'}; the log has the traceback",
    )


def _chain(error: BaseException | None) -> list[BaseException]:
    """The exception and what it came from, outermost first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        hidden = None if error.__suppress_context__ else error.__context__
        error = hidden if error.__cause__ is None else error.__cause__
    return found


def _translate(error: BaseException) -> TrainerError | None:
    if isinstance(error, TrainerError):
        return error
    text = str(error).lower()
    if type(error).__name__ == "OutOfMemoryError" or any(s in text for s in _DEVICE_MEMORY):
        return TrainerError(
            ExitCode.OUT_OF_MEMORY,
            f"the device's memory was not enough ({_first_line(error) or 'no message'}); lower dataset.maxLength or "
            f"training.batchSize, or choose an option with more memory to spare, {_ELSEWHERE}",
        )
    if isinstance(error, MemoryError) or any(s in text for s in _HOST_MEMORY):
        return TrainerError(
            ExitCode.HOST_OUT_OF_MEMORY,
            "the machine's memory was not enough; close other programs and run the same command again, or lower "
            f"dataset.maxLength or choose a smaller option, {_ELSEWHERE}",
        )
    if _number(error) in _STORAGE_NUMBERS or any(s in text for s in _STORAGE):
        return TrainerError(
            ExitCode.STORAGE_FULL,
            "no space left where the output goes; free some, then run the same command again: it goes on from the last "
            "complete checkpoint",
        )
    return _translate_rest(error, text)


def _translate_rest(error: BaseException, text: str) -> TrainerError | None:
    if isinstance(error, OSError) and error.errno in _FORBIDDEN_NUMBERS:
        return TrainerError(
            ExitCode.CONFIGURATION,
            f"{error.filename or 'a file'}: {error.strerror}; give the user that trains the right to read and write it",
        )
    if any(s in text for s in _NO_ACCELERATOR):
        return TrainerError(
            ExitCode.ACCELERATOR_MISSING,
            f"the plan is for a GPU and there is none ({_first_line(error)}); check the driver, or choose a CPU "
            f"option, {_ELSEWHERE}",
        )
    if _LOSS_SCALE in text:
        return TrainerError(
            ExitCode.DIVERGED,
            "the gradients overflow FP16 at every loss scale; lower training.learningRate, or write "
            f"training.precision: BF16 or FP32, {_ELSEWHERE}",
        )
    if any(s in text for s in _RANK_GONE) or type(error).__name__ in _RANK_ERRORS:
        return TrainerError(
            ExitCode.RANK_LOST,
            f"another rank of this run is gone ({_first_line(error)}); run the same command again: it goes on from the "
            "last complete checkpoint",
        )
    if type(error).__name__ == "SafetensorError" and "deserializing" in text:
        return TrainerError(
            ExitCode.MODEL, f"a safetensors file can't be read ({_first_line(error)}); download the model again"
        )
    return None


def _number(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")
