"""A model that no rank holds as a whole is evaluated as one that each does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training import divide_tiny
from tests.training.conftest import free_port

SECONDS = 300
"""Guards against hanging."""


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def facts(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two ranks has found."""
    folder, port = tmp_path_factory.mktemp("divided"), str(free_port())
    files = [folder / f"{rank}.json" for rank in range(2)]
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", divide_tiny.__name__, str(tiny), request.param, str(file)],
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"},
        )
        for rank, file in enumerate(files)
    ]
    try:
        assert [process.wait(SECONDS) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    return [json.loads(file.read_bytes()) for file in files]


def test_answers_are_those_of_the_whole_model(facts: list[dict[str, Any]]) -> None:
    for found in facts:
        assert found["divided"] == found["whole"]
    answers = facts[0]["whole"]["answers"].values()
    assert len({len(answer) for answer in answers}) > 1


def test_no_rank_holds_the_whole_model(facts: list[dict[str, Any]]) -> None:
    for found in facts:
        assert found["parts"] <= found["total"] / 2 + 200
        assert 0 < found["most"] <= divide_tiny.LIVE
        assert found["parts"] + found["most"] < found["total"]


def test_what_is_left_to_an_engine_is_parts_alone(facts: list[dict[str, Any]]) -> None:
    for found in facts:
        assert found["left"] == []
        assert found["hooks"] == 0
        assert found["trained"] == ["torch.float32"]
