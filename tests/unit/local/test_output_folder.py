"""Whose an output folder is, and that only one run is in it."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from finetune_operator.exceptions import OutputConflictError, StorageFullError
from finetune_operator.local import output_folder
from finetune_operator.local.output_folder import (
    LOCK,
    OWNER,
    check_result,
    check_space,
    claim,
    examine,
    goes_on_as_begun,
    is_held,
    read_owner,
)
from finetune_operator.local.record import normalise, read_record, write_record
from finetune_operator.renderers.bundle import render_bundle
from finetune_operator.units import GIB, Bytes
from finetune_trainer.events import ResultEvent
from finetune_trainer.job_config import RESULT_FILE, STATE_FOLDER
from tests.support.plans import TINY_ARCHITECTURE, make_job, make_plan
from tests.unit.local.test_record import PLACES

RESULT = ResultEvent(
    decision="Keep",
    because="x",
    next_step="y",
    rows=60,
    baseline={"loss": 2.0},
    tuned={"loss": 1.0},
    memory_predicted=1,
    memory_measured=2,
    output="out",
    output_bytes=3,
    digest="sha256:00",
    report="out/finetune_report.md",
)

HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
"""Locks a file until its standard input ends."""


@contextmanager
def another_process(lock: Path) -> Iterator["subprocess.Popen[str]"]:
    command = (sys.executable, "-ISc", HOLD, str(lock))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder


def begin(output: Path, **spec: Any) -> None:
    """What `finetune run` leaves when it has begun."""
    job, plan = make_job(**spec), make_plan()
    places = replace(PLACES, output=str(output))
    write_record(output, normalise(job, Path("/jobs")), plan, render_bundle(job, plan, TINY_ARCHITECTURE, places))


def quiet(_: str) -> None:
    """Nobody listens."""


def refusal(output: Path, option: str | None = None, **spec: Any) -> str:
    with pytest.raises(OutputConflictError) as caught:
        examine(output, make_job(**spec), Path("/jobs"), option)
    return str(caught.value).replace(str(output), "OUT")


def test_a_new_or_empty_folder_holds_no_run(tmp_path: Path) -> None:
    assert examine(tmp_path / "new", make_job(), Path("/jobs"), None) is None
    assert examine(tmp_path, make_job(), Path("/jobs"), None) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [None, "recommended", "lora-1x24g"])
def test_the_same_job_goes_on(tmp_path: Path, option: str | None) -> None:
    begin(tmp_path)
    assert examine(tmp_path, make_job(), Path("/jobs"), option) == read_record(tmp_path)


def test_the_manifest_that_repeats_the_run_is_the_same_job(tmp_path: Path) -> None:
    begin(tmp_path)
    explicit = {
        "model": {"source": {"path": "/jobs/model"}},
        "dataset": {
            "train": {"source": {"path": "/jobs/train.jsonl"}},
            "evaluation": {"source": {"path": "/jobs/check.jsonl"}},
        },
        "method": "LoRA",
        "training": {"learningRate": "2e-4", "precision": "BF16"},
        "hardware": {"accelerator": "GPU", "devicesPerNode": 1, "nodes": 1},
        "acceptance": {"metric": "loss"},
    }
    assert examine(tmp_path, make_job(**explicit), Path("/elsewhere"), "lora-1x24g") is not None


def test_another_jobs_folder_is_refused_with_the_first_difference(tmp_path: Path) -> None:
    begin(tmp_path)
    assert refusal(tmp_path, training={"seed": 7}) == (
        "spec.output.path: OUT belongs to another job (spec.training.seed: 42 there, 7 here); write another "
        "output.path, or remove that folder"
    )
    assert "(spec.adapter.rank: 16 there, 8 here and 1 more)" in refusal(
        tmp_path, adapter={"rank": 8}, training={"seed": 7}
    )


def test_another_option_than_the_one_begun_is_refused(tmp_path: Path) -> None:
    begin(tmp_path)
    assert refusal(tmp_path, option="full-1x24g") == (
        "spec.output.path: OUT holds a run of option lora-1x24g, and full-1x24g is asked for; write another "
        "output.path, or go on with --option lora-1x24g"
    )


def test_the_same_method_on_other_devices_goes_on_until_there_is_a_result(tmp_path: Path) -> None:
    begin(tmp_path)
    record = examine(tmp_path, make_job(), Path("/jobs"), "lora-z3-2x24g")
    assert record is not None
    assert goes_on_as_begun(record, "lora-1x24g")
    assert not goes_on_as_begun(record, "lora-z3-2x24g")
    (tmp_path / STATE_FOLDER / RESULT_FILE).write_text(RESULT.model_dump_json(), encoding="utf-8")
    assert "holds a run of option lora-1x24g, and lora-z3-2x24g is asked for" in refusal(
        tmp_path, option="lora-z3-2x24g"
    )


def test_a_folder_with_other_files_is_refused_with_some_of_them(tmp_path: Path) -> None:
    for name in ("d", "a", "b", "c"):
        (tmp_path / name).touch()
    assert refusal(tmp_path) == (
        "spec.output.path: OUT has files that are not of a run (a, b, c, …); write another output.path, or empty the "
        "folder"
    )


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    assert refusal(tmp_path / "out") == "spec.output.path: OUT is a file; write the path of a folder"


def test_a_claim_leaves_nothing_where_no_run_was_begun(tmp_path: Path) -> None:
    output = tmp_path / "a" / "b"
    with claim(output, quiet) as held:
        assert (held.folder, is_held(output)) == (output, True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with claim(tmp_path / "mine", quiet):
        pass
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_claim_keeps_the_run_that_was_begun(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with claim(output, quiet):
        begin(output)
    assert read_record(output) is not None
    assert not is_held(output)
    with claim(output, quiet):
        assert is_held(output)


def test_an_error_inside_gives_the_folder_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claim(tmp_path / "out", quiet):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    output, me = tmp_path / "out", os.getpid()
    with claim(output, quiet):
        with pytest.raises(OutputConflictError) as caught, claim(output, quiet):
            pytest.fail("two at once")
        assert is_held(output), "the second took the first one's name away"
        assert (output / STATE_FOLDER / LOCK).exists()
    assert str(caught.value) == (
        f"spec.output.path: {output} is being written to by process {me}; wait for it, follow it with `finetune status "
        f"{output}`, or stop it with `kill {me}`"
    )


def leave_as_killed(output: Path) -> Path:
    """The state of a run whose command line was killed: its lock, its name, and its record."""
    begin(output)
    state = output / STATE_FOLDER
    (state / LOCK).touch()
    (state / OWNER).write_text(json.dumps({"pid": os.getpid(), "started": psutil.Process().create_time() - 60}))
    return state / LOCK


def test_a_folder_whose_owner_was_killed_can_be_claimed(tmp_path: Path) -> None:
    leave_as_killed(tmp_path)
    assert not is_held(tmp_path)
    with claim(tmp_path, quiet):
        owner = read_owner(tmp_path)
        assert owner is not None
        assert owner["started"] == psutil.Process().create_time()


def test_a_trainer_that_is_still_stopping_is_waited_for(tmp_path: Path) -> None:
    told: list[str] = []
    with another_process(leave_as_killed(tmp_path)) as holder:

        def end_it(sentence: str) -> None:
            told.append(sentence)
            assert holder.stdin is not None
            holder.stdin.close()

        with claim(tmp_path, end_it, patience_seconds=60):
            assert is_held(tmp_path)
    assert told == ["the trainer of an earlier run is still stopping; waiting up to 60 s"]


def test_a_trainer_that_does_not_stop_is_told(tmp_path: Path) -> None:
    with (
        another_process(leave_as_killed(tmp_path)),
        pytest.raises(OutputConflictError) as caught,
        claim(tmp_path, quiet, patience_seconds=0),
    ):
        pytest.fail("two at once")
    assert str(caught.value) == (
        f"spec.output.path: {tmp_path} is still held by a trainer whose command line is gone; wait until it has "
        "written its checkpoint, then run the same command again"
    )


def test_the_lock_outlives_us_in_the_process_that_inherits_it(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with claim(output, quiet) as held:
        begin(output)
        inherit = (sys.executable, "-ISc", "import sys; sys.stdin.read()")
        child = subprocess.Popen(inherit, stdin=subprocess.PIPE, pass_fds=(held.lock_fd,))
    with pytest.raises(OutputConflictError, match="still held by a trainer"), claim(output, quiet, patience_seconds=0):
        pytest.fail("two at once")
    child.communicate()
    with claim(output, quiet):
        assert is_held(output)


def test_a_lock_that_was_taken_away_meanwhile_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock

    def late(fd: int, how: int) -> None:
        (tmp_path / STATE_FOLDER / LOCK).unlink()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    told = "was given back just now; run the same command again"
    with pytest.raises(OutputConflictError, match=told), claim(tmp_path, quiet):
        pytest.fail("nobody else would see this lock")


@pytest.mark.parametrize("at", [(os, "open"), (fcntl, "flock"), (output_folder, "write_atomically")], ids=str)
@pytest.mark.parametrize(
    ("number", "kind", "told"),
    [
        (errno.ENOSPC, StorageFullError, "is on a disk that is full; free some, or write a path on another disk"),
        (errno.EACCES, OutputConflictError, "can't be written to (Permission denied); write a path of yours"),
    ],
    ids=["full", "forbidden"],
)
def test_a_disk_that_takes_nothing_is_told_and_left_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: tuple[Any, str], number: int, kind: type[Exception], told: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(*at, refuse)
        with pytest.raises(kind) as caught, claim(tmp_path / "out", quiet):
            pytest.fail("nothing could be written")
    assert str(caught.value) == f"spec.output.path: {tmp_path}/out {told}"
    assert not (tmp_path / "out" / STATE_FOLDER / OWNER).exists()


def test_a_folder_that_can_not_be_locked_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(StorageFullError), claim(tmp_path / "a" / "out", quiet):
            pytest.fail("nothing could be written")
    assert list(tmp_path.iterdir()) == []


def test_who_has_just_begun_is_given_a_moment_to_write_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    with another_process(leave_as_killed(tmp_path)) as holder:
        owner = {"pid": holder.pid, "started": psutil.Process(holder.pid).create_time()}
        name = tmp_path / STATE_FOLDER / OWNER
        monkeypatch.setattr(time, "sleep", lambda _: name.write_text(json.dumps(owner)))
        refused = pytest.raises(OutputConflictError, match=f"is being written to by process {holder.pid}")
        with refused, claim(tmp_path, told.append):
            pytest.fail("two at once")
    assert told == []


def test_too_little_space_is_told_with_need_and_have(tmp_path: Path) -> None:
    check_space(tmp_path, Bytes(1))
    with pytest.raises(StorageFullError, match=r"with .+ GiB free, and the run writes up to 1073741824.0 GiB"):
        check_space(tmp_path, Bytes(GIB**2))


def test_a_moved_folder_would_train_into_the_old_place_and_is_refused(tmp_path: Path) -> None:
    begin(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    assert f"begun as {tmp_path / 'out'}; move it back there" in refusal(tmp_path / "moved")


def test_a_complete_run_without_its_result_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputConflictError, match="whose result is gone"):
        check_result(tmp_path)
    (tmp_path / "adapter_model.safetensors").touch()
    check_result(tmp_path)


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"pid": -5, "started": 1.0}', '{"pid": 1, "started": "x"}'])
def test_a_damaged_note_of_the_owner_is_no_owner(damage: str, tmp_path: Path) -> None:
    (tmp_path / STATE_FOLDER).mkdir()
    (tmp_path / STATE_FOLDER / "owner.json").write_text(damage, encoding="utf-8")
    assert not is_held(tmp_path)
