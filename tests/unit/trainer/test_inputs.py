from pathlib import Path

import pytest

from finetune_trainer import inputs
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.model_files import files_of

BEFORE = {"/data/train.jsonl": "sha256:1", "/models/base/config.json": "sha256:2"}


def test_the_inputs_of_the_first_session_are_kept_and_the_same_ones_pass(tmp_path: Path) -> None:
    inputs.hold(tmp_path / "inputs.json", BEFORE)
    inputs.hold(tmp_path / "inputs.json", BEFORE)


@pytest.mark.parametrize(
    ("now", "says"),
    [
        pytest.param(
            BEFORE | {"/data/train.jsonl": "sha256:3"},
            "/data/train.jsonl has changed since this run began; put it back, or write another output.path",
            id="changed",
        ),
        pytest.param(
            BEFORE | {"/models/base/chat_template.jinja": "sha256:3"},
            "/models/base/chat_template.jinja has come since this run began; move it away, or write another "
            "output.path",
            id="new",
        ),
        pytest.param(
            {"/data/train.jsonl": "sha256:1"},
            "/models/base/config.json has gone since this run began; put it back, or write another output.path",
            id="gone",
        ),
    ],
)
def test_other_inputs_are_refused_every_time(now: dict[str, str], says: str, tmp_path: Path) -> None:
    kept = tmp_path / "inputs.json"
    inputs.hold(kept, BEFORE)
    for _ in range(2):
        with pytest.raises(TrainerError) as caught:
            inputs.hold(kept, now)
        assert caught.value.code is ExitCode.OUTPUT_CONFLICT
        assert caught.value.message == says


def test_a_chat_template_counts_among_the_models_files(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "chat_template.jinja"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert tmp_path / "chat_template.jinja" in files_of(tmp_path)
