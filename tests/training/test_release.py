"""Evaluating the result needs no memory that training held: nothing of the trained model is left by then."""

import weakref
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.api.spec import Method
from finetune_operator.api.status import Offload
from finetune_operator.planner.plan import PrecisionUsed
from tests.support.trainer_process import run_rank
from tests.support.training_jobs import render, tiny_plan, write_data

pytestmark = pytest.mark.usefixtures("stack")


def holds_weights(thing: Any) -> bool:
    """Whether what may be gone keeps memory; DeepSpeed remembers modules under ZeRO-3, and they may stay empty."""
    part = getattr(thing, "ds_tensor", None)
    if part is not None:
        return bool(thing.numel() or part.numel())
    return thing is not None and not (hasattr(thing, "parameters") and is_empty(thing))


def is_empty(module: Any) -> bool:
    """Whether its weights are divided, and none is left."""
    return all(hasattr(p, "ds_tensor") and not holds_weights(p) for p in module.parameters())


@pytest.mark.parametrize(
    ("method", "zero_stage", "offload"),
    [
        pytest.param(Method.LORA, 0, Offload.NONE, id="lora-z0-bf16"),
        pytest.param(Method.FULL, 0, Offload.NONE, id="full-z0-bf16"),
        pytest.param(Method.FULL, 2, Offload.NONE, id="full-z2-bf16"),
        pytest.param(Method.LORA, 3, Offload.PARAMETERS, id="lora-z3-offload-bf16"),
        pytest.param(Method.FULL, 3, Offload.PARAMETERS, id="full-z3-offload-bf16"),
    ],
)
def test_the_trained_model_is_gone_before_the_result_is_loaded(  # noqa: PLR0917  pytest passes them by name
    method: Method,
    zero_stage: int,
    offload: Offload,
    tiny: Path,
    tmp_path: Path,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from finetune_trainer import modeling, outputs, run, training

    watched: list[tuple[str, weakref.ref[Any]]] = []
    load, train, reload = modeling.load_base, training.train, outputs.reload

    def load_watched(*arguments: Any) -> Any:
        model = load(*arguments)
        watched.append(("model", weakref.ref(model)))
        return model

    def train_watched(*arguments: Any, **named: Any) -> Any:
        trainer: Any = train(*arguments, **named)
        watched.extend((name, weakref.ref(p)) for name, p in trainer.model.named_parameters())
        watched.append(("engine", weakref.ref(trainer.model_wrapped)))
        watched.append(("optimizer", weakref.ref(trainer.model_wrapped.optimizer)))
        return trainer

    def reload_when_gone(*arguments: Any) -> Any:
        alive = [name for name, ref in watched if holds_weights(ref())]
        assert len(watched) > 10
        assert not alive, alive
        return reload(*arguments)

    monkeypatch.setattr(run, "load_base", load_watched)
    monkeypatch.setattr(run, "train", train_watched)
    monkeypatch.setattr(outputs, "reload", reload_when_gone)
    write_data(tmp_path)
    plan = tiny_plan(method, 8, zero_stage=zero_stage, offload=offload, precision=PrecisionUsed.BF16)
    job = render(tmp_path, tiny, plan, training={"epochs": "1"})
    outcome = run_rank(job.job_file, port)
    assert outcome.code == 0, outcome.output[-3000:]
