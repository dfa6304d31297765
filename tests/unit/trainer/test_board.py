"""Curves for TensorBoard across sessions."""

from pathlib import Path

import pytest

from finetune_trainer.board import Board
from tests.support.board_reader import read_board
from tests.support.trainer_builders import make_held_out, make_step


def test_steps_and_evaluations_are_curves(tmp_path: Path) -> None:
    board = Board(tmp_path / "tensorboard")
    board.begin(0)
    board.add(make_held_out(2, 1.75))
    board.add(make_step(2, loss=1.5, gradient_norm=None))
    board.add(make_step(4, loss=1.25))
    board.close()
    curves = read_board(tmp_path / "tensorboard")
    assert curves["train/loss"] == [(2, 1.5), (4, 1.25)]
    assert curves["held_out/loss"] == [(2, 1.75)]
    assert curves["train/gradient_norm"] == [(4, 1.0)]
    assert "train/reward_margin" not in curves
    assert [rate for _, rate in curves["train/learning_rate"]] == pytest.approx([1e-4, 1e-4])


def test_a_resumed_run_has_each_point_once(tmp_path: Path) -> None:
    boards = [Board(tmp_path), Board(tmp_path)]
    for board, begun, steps in zip(boards, (0, 2), ((1, 2, 3, 4), (3, 4, 5)), strict=True):
        board.begin(begun)
        for step in steps:
            board.add(make_step(step, loss=begun + step / 8))
    # sessions that are killed close no file
    assert read_board(tmp_path)["train/loss"] == [(1, 0.125), (2, 0.25), (3, 2.375), (4, 2.5), (5, 2.625)]
    for board in boards:
        board.close()


def test_nothing_is_written_before_a_session_begins(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no session"):
        Board(tmp_path / "tensorboard").add(make_step(1))
    assert not (tmp_path / "tensorboard").exists()
