import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_trainer import checkpoints, files
from finetune_trainer.checkpoints import (
    MARKER,
    Layout,
    fault_of,
    hold_layout,
    layout_of,
    mark_complete,
    newest_complete,
    prune,
    step_of,
    tell_division,
)
from finetune_trainer.events import Event, WarningEvent
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.job_config import Precision

WEIGHTS = b"w" * 100
LAYOUT = Layout(world=2, stage=3, rows=8, precision=Precision.BF16, optimizer="AdamW")


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def make_checkpoint(root: Path, step: int, *, complete: bool = True, layout: Layout = LAYOUT) -> Path:
    folder = root / f"checkpoint-{step}"
    (folder / f"global_step{step}").mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}), encoding="utf-8")
    (folder / f"global_step{step}" / "states.pt").write_bytes(WEIGHTS)
    if complete:
        mark_complete(folder, layout)
    return folder


def steps_in(root: Path) -> list[int]:
    return sorted(step_of(p) for p in root.iterdir())


def truncate(folder: Path) -> None:
    (folder / f"global_step{step_of(folder)}" / "states.pt").write_bytes(WEIGHTS[:-1])


def change_one_byte(folder: Path) -> None:
    (folder / f"global_step{step_of(folder)}" / "states.pt").write_bytes(b"x" + WEIGHTS[1:])


def remove_file(folder: Path) -> None:
    (folder / "trainer_state.json").unlink()


def remove_marker(folder: Path) -> None:
    (folder / MARKER).unlink()


def cut_marker(folder: Path) -> None:
    text = (folder / MARKER).read_text(encoding="utf-8")
    (folder / MARKER).write_text(text[: len(text) // 2], encoding="utf-8")


def empty_marker(folder: Path) -> None:
    (folder / MARKER).write_text("[]", encoding="utf-8")


def mark_nothing(folder: Path) -> None:
    (folder / MARKER).write_text(
        json.dumps({"step": step_of(folder), "layout": LAYOUT.model_dump(), "files": {}}), encoding="utf-8"
    )


def take_marker_of_another_step(folder: Path) -> None:
    marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    (folder / MARKER).write_text(json.dumps(marker | {"step": 10}), encoding="utf-8")


DAMAGES = [
    pytest.param(truncate, "has a damaged global_step30/states.pt", id="truncated-file"),
    pytest.param(change_one_byte, "has a damaged global_step30/states.pt", id="one-byte-changed"),
    pytest.param(remove_file, "lacks trainer_state.json", id="missing-file"),
    pytest.param(remove_marker, "was not finished", id="missing-marker"),
    pytest.param(cut_marker, "was not finished", id="marker-cut-short"),
    pytest.param(empty_marker, "was not finished", id="marker-of-another-shape"),
    pytest.param(mark_nothing, "was not finished", id="marker-of-no-files"),
    pytest.param(take_marker_of_another_step, "was saved at step 10", id="marker-of-another-step"),
]


def test_a_marked_checkpoint_is_whole(tmp_path: Path) -> None:
    assert fault_of(make_checkpoint(tmp_path, 30)) is None


def other(**changes: object) -> Layout:
    return Layout.model_validate(LAYOUT.model_dump() | changes)


@pytest.mark.parametrize("changes", [{}, {"world": 1}, {"stage": 0}, {"world": 4, "stage": 2}], ids=str)
def test_a_checkpoint_is_gone_on_from_however_it_is_divided(tmp_path: Path, changes: dict[str, object]) -> None:
    folder = make_checkpoint(tmp_path, 30)
    assert layout_of(folder) == LAYOUT
    hold_layout(folder, other(**changes))


@pytest.mark.parametrize(
    ("saved", "now", "says"),
    [
        pytest.param({}, {"rows": 16}, "with 8 rows a step, and this job has 16", id="rows"),
        pytest.param({}, {"precision": Precision.FP32}, "in BF16, and this job computes in FP32", id="precision"),
        pytest.param(
            {},
            {"optimizer": "AdamW8bit"},
            "with the state of AdamW, and this job steps by AdamW8bit",
            id="optimizer",
        ),
        pytest.param(
            {"precision": Precision.FP16},
            {"precision": Precision.FP16, "world": 1, "stage": 0},
            "2 ranks under ZeRO-3, and this job has 1 rank under ZeRO-0: what FP16's gradients",
            id="loss-scale",
        ),
    ],
)
def test_what_would_be_another_training_is_refused(
    tmp_path: Path, saved: dict[str, object], now: dict[str, object], says: str
) -> None:
    folder = make_checkpoint(tmp_path, 30, layout=other(**saved))
    with pytest.raises(TrainerError) as refused:
        hold_layout(folder, other(**now))
    assert refused.value.code is ExitCode.OUTPUT_CONFLICT
    assert says in refused.value.message
    assert refused.value.message.endswith("or write another output.path to begin anew")


def test_what_differs_where_it_is_divided_anew_is_told(tmp_path: Path) -> None:
    folder, now = make_checkpoint(tmp_path, 30), other(world=1, stage=0)
    divided = "checkpoint-30 was saved by 2 ranks under ZeRO-3; its state is divided anew for 1 rank under ZeRO-0"
    assert tell_division(folder, now, dropout=False) == divided
    assert tell_division(folder, now, dropout=True).startswith(f"{divided}; dropout is drawn anew")


def test_a_file_that_came_later_does_not_matter(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, 30)
    (folder / "note.txt").write_text("mine", encoding="utf-8")
    assert fault_of(folder) is None


@pytest.mark.parametrize(("damage", "fault"), DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, damage: Callable[[Path], None], fault: str
) -> None:
    before = make_checkpoint(tmp_path, 20)
    damage(make_checkpoint(tmp_path, 30))
    said: list[Event] = []
    assert newest_complete(tmp_path, said.append) == before
    assert said == [WarningEvent(message=f"checkpoint-30 {fault}; going on from checkpoint-20")]


@pytest.mark.parametrize(("damage", "fault"), DAMAGES)
def test_pruning_keeps_the_one_to_go_on_from_rather_than_a_damaged_newer_one(
    tmp_path: Path, damage: Callable[[Path], None], fault: str
) -> None:
    make_checkpoint(tmp_path, 10)
    make_checkpoint(tmp_path, 20)
    newest = make_checkpoint(tmp_path, 30)
    damage(newest)
    assert fault_of(newest) == fault
    prune(tmp_path, keep=1)
    assert steps_in(tmp_path) == [20]


def test_a_large_file_is_held_against_its_size_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "DIGESTED_BYTES", len(WEIGHTS) - 1)
    folder = make_checkpoint(tmp_path, 30)
    change_one_byte(folder)
    assert fault_of(folder) is None
    truncate(folder)
    assert fault_of(folder) == "has a damaged global_step30/states.pt"


def test_every_checkpoint_passed_over_is_said(tmp_path: Path) -> None:
    for step in (10, 20):
        make_checkpoint(tmp_path, step, complete=False)
    said: list[Event] = []
    assert newest_complete(tmp_path, said.append) is None
    assert said == [
        WarningEvent(message="checkpoint-20 was not finished; starting from the beginning"),
        WarningEvent(message="checkpoint-10 was not finished; starting from the beginning"),
    ]


def test_the_newest_is_found_by_number_and_not_by_name(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        make_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-last").mkdir()
    (tmp_path / "checkpoint-200").write_text("a file", encoding="utf-8")
    said: list[Event] = []
    found = newest_complete(tmp_path, said.append)
    assert found is not None
    assert (step_of(found), said) == (100, [])


def test_there_is_nothing_to_go_on_from_where_nothing_was_saved(tmp_path: Path) -> None:
    said: list[Event] = []
    assert newest_complete(tmp_path / "none", said.append) is None
    assert not said


def test_a_marker_is_there_only_once_every_file_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_checkpoint(tmp_path, 30, complete=False)
    synced: list[str] = []

    def note(path: Path) -> None:
        # the folder is flushed once more after the marker's rename
        if not (folder / MARKER).exists():
            synced.append(str(path.relative_to(tmp_path)))

    monkeypatch.setattr(files, "sync", note)
    mark_complete(folder, LAYOUT)
    inner = "checkpoint-30/global_step30"
    assert sorted(synced) == ["checkpoint-30", inner, f"{inner}/states.pt", "checkpoint-30/trainer_state.json"]
    assert fault_of(folder) is None


@pytest.mark.parametrize(
    ("whole", "broken", "keep", "left"),
    [
        pytest.param([1, 2, 3], [], 2, [2, 3], id="the-oldest-goes"),
        pytest.param([1, 2], [], 3, [1, 2], id="fewer-than-are-kept"),
        pytest.param([9, 10, 100], [], 1, [100], id="newest-by-number"),
        pytest.param([1, 2], [3, 4], 1, [2], id="unfinished-ones-do-not-count"),
        pytest.param([1, 3], [2], 2, [1, 3], id="unfinished-between"),
        pytest.param([], [1], 1, [], id="nothing-complete"),
    ],
)
def test_pruning_leaves_exactly_the_newest_complete_ones(
    tmp_path: Path, whole: list[int], broken: list[int], keep: int, left: list[int]
) -> None:
    for step in (*whole, *broken):
        make_checkpoint(tmp_path, step, complete=step in whole)
    prune(tmp_path, keep)
    assert steps_in(tmp_path) == left


@pytest.mark.parametrize(
    ("best", "broken", "left"),
    [
        pytest.param(10, (), [10, 30, 40], id="beside-the-newest"),
        pytest.param(40, (), [30, 40], id="among-the-newest"),
        pytest.param(15, (), [30, 40], id="never-saved"),
        pytest.param(10, (10,), [30, 40], id="damaged"),
    ],
)
def test_the_best_one_is_kept(tmp_path: Path, best: int, broken: tuple[int, ...], left: list[int]) -> None:
    for step in (10, 20, 30, 40):
        make_checkpoint(tmp_path, step, complete=step not in broken)
    prune(tmp_path, 2, best)
    assert steps_in(tmp_path) == left


@pytest.mark.parametrize("marker_last", [True, False], ids=["marker-last", "marker-first"])
@pytest.mark.parametrize("killed_at", range(6))
def test_a_kill_while_pruning_leaves_no_half_checkpoint_that_passes_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int, *, marker_last: bool
) -> None:
    """The fault can't be made for real at a chosen file: removal ends after so many files."""
    for step in (10, 20, 30):
        make_checkpoint(tmp_path, step)
    budget, remove_all = [killed_at], shutil.rmtree

    def remove_some(folder: Path) -> None:
        for path in sorted((p for p in folder.rglob("*") if p.is_file()), reverse=marker_last):
            if not budget[0]:
                raise KeyboardInterrupt
            budget[0] -= 1
            path.unlink()
        remove_all(folder)

    with monkeypatch.context() as patch:
        patch.setattr("finetune_trainer.checkpoints.shutil.rmtree", remove_some)
        with pytest.raises(KeyboardInterrupt):
            prune(tmp_path, keep=1)
    usable = [step_of(p) for p in tmp_path.iterdir() if fault_of(p) is None]
    assert 30 in usable
    for step in usable:
        assert (tmp_path / f"checkpoint-{step}" / f"global_step{step}" / "states.pt").read_bytes() == WEIGHTS
    said: list[Event] = []
    found = newest_complete(tmp_path, said.append)
    assert found is not None
    assert (step_of(found), said) == (30, [])
    prune(tmp_path, keep=1)
    assert steps_in(tmp_path) == [30]
