"""What is staged is held against what libraries write on a bad day."""

from pathlib import Path

import pytest

from finetune_trainer.exit_codes import ExitCode
from tests.support.trainer_process import failure_in_fork

pytestmark = pytest.mark.usefixtures("stack")

A, B = "model.layers.0.q_proj.lora_A.weight", "model.layers.0.q_proj.lora_B.weight"
SCORE = "base_model.model.score.weight"
NAN, INFINITE = float("nan"), float("inf")


def check(folder: Path, values: dict[str, list[float]] | None, adapter: bool) -> None:  # noqa: FBT001  given by place
    import torch
    from safetensors.torch import save_file

    from finetune_trainer import outputs

    if values is not None:
        save_file({name: torch.tensor(v) for name, v in values.items()}, folder / "model.safetensors")
    outputs._check_weights(folder, adapter=adapter)


@pytest.mark.parametrize(
    ("values", "adapter", "says"),
    [
        pytest.param({}, True, "is empty: nothing was trained", id="adapter-without-tensors"),
        pytest.param({A: [1.0], B: [0.0, 0.0]}, True, "is empty: nothing was trained", id="adapter-untrained"),
        pytest.param({B: [0.0], SCORE: [0.0]}, True, "is empty: nothing was trained", id="score-untrained"),
        pytest.param({A: [], B: []}, True, "is empty: nothing was trained", id="adapter-of-empty-tensors"),
        pytest.param({A: [1.0], B: [1.0, NAN]}, True, f"{B} holds values that aren't numbers", id="adapter-nan"),
        pytest.param({A: [INFINITE], B: [1.0]}, True, f"{A} holds values that aren't numbers", id="adapter-infinite"),
        pytest.param({"head": [0.0]}, False, "is empty: nothing was trained", id="model-of-zeros"),
        pytest.param({"head": [1.0], "norm": [NAN]}, False, "norm holds values that aren't numbers", id="model-nan"),
        pytest.param(None, False, "is empty: nothing was trained", id="no-file"),
    ],
)
def test_a_bad_result_is_refused(
    values: dict[str, list[float]] | None,
    adapter: bool,  # noqa: FBT001  a case of the table
    says: str,
    tmp_path: Path,
) -> None:
    failure = failure_in_fork(check, tmp_path, values, adapter)
    assert failure is not None
    assert failure[0] is ExitCode.INTERNAL
    assert says in failure[1]


@pytest.mark.parametrize(
    ("values", "adapter"),
    [
        pytest.param({A: [0.0], B: [1.0, 0.0]}, True, id="adapter"),
        pytest.param({A: [1.0], B: [0.0], SCORE: [1.0]}, True, id="score"),
        pytest.param({"head": [1.0], "bias": [0.0]}, False, id="model"),
    ],
)
def test_a_good_result_passes(
    values: dict[str, list[float]],
    adapter: bool,  # noqa: FBT001  a case of the table
    tmp_path: Path,
) -> None:
    assert failure_in_fork(check, tmp_path, values, adapter) is None
