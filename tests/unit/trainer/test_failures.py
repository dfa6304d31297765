import errno

import pytest

from finetune_trainer.events import FailureEvent, parse_event
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.failures import exit_code_of, explain


class OutOfMemoryError(RuntimeError):
    """Named like torch's, by whose name it is known."""


class DistBackendError(RuntimeError):
    """Named like torch's."""


class SafetensorError(Exception):
    """Named like that of safetensors."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(TrainerError(ExitCode.DATA, "train.jsonl: is empty"), ExitCode.DATA, id="ours"),
        pytest.param(
            OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation"),
            ExitCode.OUT_OF_MEMORY,
            id="torch-device-memory",
        ),
        pytest.param(OutOfMemoryError(), ExitCode.OUT_OF_MEMORY, id="torch-device-memory-without-a-word"),
        pytest.param(RuntimeError("CUDA error: out of memory"), ExitCode.OUT_OF_MEMORY, id="cuda-error"),
        pytest.param(
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            ExitCode.OUT_OF_MEMORY,
            id="cublas",
        ),
        pytest.param(MemoryError(), ExitCode.HOST_OUT_OF_MEMORY, id="python-memory"),
        pytest.param(
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
            ExitCode.HOST_OUT_OF_MEMORY,
            id="torch-host-memory",
        ),
        pytest.param(
            OSError(errno.ENOMEM, "Cannot allocate memory"), ExitCode.HOST_OUT_OF_MEMORY, id="fork-without-memory"
        ),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), ExitCode.STORAGE_FULL, id="disk-full"),
        pytest.param(OSError(errno.EDQUOT, "quota"), ExitCode.STORAGE_FULL, id="quota"),
        pytest.param(OSError(errno.EFBIG, "large"), ExitCode.STORAGE_FULL, id="file-size-limit"),
        pytest.param(
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            ExitCode.STORAGE_FULL,
            id="safetensors-disk-full",
        ),
        pytest.param(
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
            ExitCode.STORAGE_FULL,
            id="torch-save-disk-full",
        ),
        pytest.param(
            SafetensorError("Error while deserializing header: header too large"), ExitCode.MODEL, id="safetensors"
        ),
        pytest.param(RuntimeError("No CUDA GPUs are available"), ExitCode.ACCELERATOR_MISSING, id="no-gpu"),
        pytest.param(
            RuntimeError("Found no NVIDIA driver on your system."), ExitCode.ACCELERATOR_MISSING, id="no-driver"
        ),
        pytest.param(
            Exception("Current loss scale already at minimum - cannot decrease scale anymore. Exiting run."),
            ExitCode.DIVERGED,
            id="loss-scale",
        ),
        pytest.param(
            RuntimeError("[/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:33705."),
            ExitCode.RANK_LOST,
            id="rank-gone-gloo",
        ),
        pytest.param(DistBackendError("NCCL error in: remote process exited"), ExitCode.RANK_LOST, id="rank-gone-nccl"),
        pytest.param(
            PermissionError(errno.EACCES, "Permission denied", "out/adapter_model.safetensors"),
            ExitCode.CONFIGURATION,
            id="forbidden",
        ),
        pytest.param(
            OSError(errno.EROFS, "Read-only file system", "out"), ExitCode.CONFIGURATION, id="read-only-file-system"
        ),
        pytest.param(
            RuntimeError("PytorchStreamReader failed reading zip archive: failed finding central directory"),
            ExitCode.INTERNAL,
            id="anything-else",
        ),
        pytest.param(
            FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), ExitCode.INTERNAL, id="no-file"
        ),
        pytest.param(ValueError(), ExitCode.INTERNAL, id="without-a-word"),
    ],
)
def test_an_exception_has_a_code_and_one_sentence(error: BaseException, code: ExitCode) -> None:
    failure = explain(error)
    assert failure.code is code
    assert failure.message
    assert "\n" not in failure.message


def test_an_unknown_exception_is_named() -> None:
    assert explain(ValueError("odd\nand long")).message == "unexpected ValueError: odd; the log has the traceback"


def test_the_cause_decides_where_the_exception_says_nothing() -> None:
    wrapped = RuntimeError("saving failed")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert explain(wrapped).code is ExitCode.STORAGE_FULL


def test_what_happened_before_decides_unless_it_was_dealt_with() -> None:
    def fill_the_disk() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def save(*, dealt_with: bool) -> None:
        try:
            fill_the_disk()
        except OSError:
            if dealt_with:
                raise RuntimeError("iostream error") from None
            raise RuntimeError("iostream error")  # noqa: B904  what libraries do

    with pytest.raises(RuntimeError) as caught:
        save(dealt_with=False)
    assert explain(caught.value).code is ExitCode.STORAGE_FULL
    with pytest.raises(RuntimeError) as caught:
        save(dealt_with=True)
    assert explain(caught.value).code is ExitCode.INTERNAL


def test_a_circle_of_causes_ends() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert explain(first).code is ExitCode.INTERNAL


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OutOfMemoryError(), id="device-memory"),
        pytest.param(MemoryError(), id="machine-memory"),
        pytest.param(RuntimeError("No CUDA GPUs are available"), id="no-gpu"),
        pytest.param(Exception("Current loss scale already at minimum"), id="loss-scale"),
    ],
)
def test_advice_to_change_the_job_names_the_folder_that_refuses_changed_jobs(error: Exception) -> None:
    assert explain(error).message.endswith(", and write another output.path")


def _fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "says", "traced"),
    [
        pytest.param(
            TrainerError(ExitCode.DATA, "a.jsonl: is empty"), ExitCode.DATA, "a.jsonl: is empty", 0, id="ours"
        ),
        pytest.param(ValueError("odd"), ExitCode.INTERNAL, "unexpected ValueError: odd", 1, id="unexpected"),
    ],
)
def test_a_process_ends_with_the_code_and_the_sentence_of_its_failure(
    error: Exception, code: ExitCode, says: str, traced: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(lambda: _fail(error)) == code
    said = capsys.readouterr()
    event = parse_event(said.out)
    assert isinstance(event, FailureEvent)
    assert event.code == code
    assert event.message.startswith(says)
    assert said.err.count("Traceback") == traced


def test_a_process_that_did_its_work_ends_with_ok() -> None:
    assert exit_code_of(lambda: None) == ExitCode.OK
