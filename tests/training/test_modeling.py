"""Model folders that look whole and aren't."""

import json
import shutil
from pathlib import Path

import pytest

from finetune_trainer.exit_codes import ExitCode
from tests.support.trainer_process import failure_in_fork

pytestmark = pytest.mark.usefixtures("stack")


def load(folder: Path) -> None:
    import torch

    from finetune_trainer.modeling import load_model

    load_model(folder, torch.float32)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"intermediate_size": 96}, "config.json doesn't belong to these weights", id="other-shapes"),
        pytest.param({"num_hidden_layers": 3}, "the weights lack model.layers.2.", id="more-layers"),
    ],
)
def test_a_config_of_another_model_is_refused(changes: dict[str, int], says: str, tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    failure = failure_in_fork(load, folder)
    assert failure is not None
    assert failure[0] is ExitCode.MODEL
    assert says in failure[1]
