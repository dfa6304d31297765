"""Weights, gradients and optimizer state of DeepSpeed's own engine on CPU ranks, counted tensor by tensor."""

import importlib
import json
import os
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from finetune_operator.api.spec import Accelerator, Adapter, Method, OptimizerChoice, Training
from finetune_operator.api.status import Offload
from finetune_operator.renderers.deepspeed import render_deepspeed
from tests.support.plans import make_class, make_device, make_plan

if TYPE_CHECKING:
    from tests.support.oracle_tracker import LiveBytes

CONFIG: Final[Mapping[str, Any]] = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 7700,
    "max_position_embeddings": 512,
}
"""A little less than 2**23 parameters: planned RAM is rounded up to powers of two, as only pinned memory is."""

ADAPTER: Final = Adapter(rank=149)
"""A little less than 2**22 parameters likewise, whose state weighs more than the frozen weights."""

TOKENS: Final = 8

STACK: Final = (
    "deepspeed",
    "finetune_trainer.distributed",
    "finetune_trainer.eight_bits",
    "tests.support.oracle_models",
    "tests.support.oracle_tracker",
    "transformers.models.llama.modeling_llama",
)
"""Imported once for all forked ranks."""


class Run(NamedTuple):
    """One engine."""

    method: Method
    stage: int
    world: int
    offload: Offload = Offload.NONE
    optimizer: OptimizerChoice = OptimizerChoice.ADAMW

    @property
    def name(self) -> str:
        offloaded = "" if self.offload is Offload.NONE else ", optimizer offloaded"
        other = "" if self.optimizer is OptimizerChoice.ADAMW else f", {self.optimizer}"
        return f"{self.method} ZeRO-{self.stage} on {self.world}{offloaded}{other}"


RUNS: Final = (
    *(
        Run(method, stage, world, offload)
        for world in (1, 2)
        for method in (Method.FULL, Method.LORA)
        for offload, stages in ((Offload.NONE, range(4)), (Offload.OPTIMIZER, (2, 3)))
        for stage in stages
    ),
    Run(Method.FULL, 0, 1, optimizer=OptimizerChoice.ADAMW_8BIT),
    Run(Method.LORA, 0, 2, optimizer=OptimizerChoice.ADAMW_8BIT),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleStates:
    """Bytes on one rank; of an offloading engine its device's and its RAM's together."""

    weights: int
    """Of the module's own parameters, or of this rank's parts of them."""
    steady: int
    """Between two optimizer steps."""
    carried: int
    """Between two micro-batches of a step."""
    step: int
    """At most while the optimizer steps."""


def measure_states(run: Run) -> OracleStates:
    """Two steps of one engine, each of two micro-batches, as this rank sees them."""
    import torch

    from tests.support.oracle_tracker import LiveBytes

    torch.manual_seed(7)
    with LiveBytes(lambda *_: 0) as live:
        model = _model(run.method)
        trained = [p for p in model.parameters() if p.requires_grad]
        trainable = sum(p.numel() for p in trained)
        engine = _engine(run, model, trained, trainable)
        del model, trained
        _micro_batch(engine)
        _micro_batch(engine)
        steady = _settled(live)
        _micro_batch(engine)
        carried = _settled(live)
        _backward(engine)
        live.restart()
        engine.step()
    return OracleStates(weights=_weights(engine), steady=steady, carried=carried, step=live.peak)


def _settled(live: "LiveBytes") -> int:
    """Bytes once they no longer fall: gloo's threads let go of a reduced bucket a moment after the wait for it ends."""
    before, now = -1, live.current
    while now != before:
        time.sleep(0.05)
        before, now = now, live.current
    return now


def _weights(engine: Any) -> int:
    tensors = [getattr(p, "ds_tensor", p) for p in engine.module.parameters()]
    return sum(t.numel() * t.element_size() for t in tensors)


def _micro_batch(engine: Any) -> None:
    _backward(engine)
    engine.step()


def _model(method: Method) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from tests.support.oracle_models import adapted

    fields = dict(CONFIG)
    made = AutoConfig.for_model(fields.pop("model_type"), **fields)
    loader: Any = AutoModelForCausalLM
    model = loader.from_config(made, dtype=torch.bfloat16)
    return model if method is Method.FULL else adapted(model, method, ADAPTER)


def _engine(run: Run, model: Any, trained: list[Any], trainable: int) -> Any:
    import deepspeed

    plan = make_plan(
        method=run.method,
        zero_stage=run.stage,
        node_class=make_class(device=make_device(accelerator=Accelerator.CPU)),
        devices_per_node=run.world,
        micro_batch=1,
        accumulation=2,
        offload=run.offload,
        trainable_parameters=trainable,
    )
    optimizer = _optimizer(run, model, trained)
    config = render_deepspeed(Training(), plan, CONFIG["hidden_size"])
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    return engine


def _optimizer(run: Run, model: Any, trained: list[Any]) -> Any:
    import torch
    from bitsandbytes.optim import AdamW

    from finetune_trainer.eight_bits import keep_embeddings_wide

    if run.optimizer is OptimizerChoice.ADAMW:
        return torch.optim.AdamW(trained, lr=1e-4, fused=True)
    made: Any = AdamW(trained, lr=1e-4, optim_bits=8)
    keep_embeddings_wide(made.param_groups, model)
    return made


def _backward(engine: Any) -> None:
    import torch

    tokens = torch.zeros((1, TOKENS), dtype=torch.int64)
    engine.backward(engine(input_ids=tokens, labels=tokens, use_cache=False).loss)


def main() -> None:
    """Measure every run; write one JSON object to the file that is named: by the run's name, what each rank counted."""
    for module in STACK:
        importlib.import_module(module)

    with tempfile.TemporaryDirectory() as folder:
        found = {run.name: _ranks(run, Path(folder)) for run in RUNS}
    Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")


def _ranks(run: Run, folder: Path) -> list[dict[str, int]]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    files = [folder / f"{run.name}-{rank}.json" for rank in range(run.world)]
    children = [_fork(run, rank, port, file) for rank, file in enumerate(files)]
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    if any(ends):
        sys.exit(f"{run.name}: ranks ended with {ends}; their tracebacks are above")
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def _fork(run: Run, rank: int, port: int, file: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.dup2(2, 1)
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(run.world),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        from finetune_trainer.distributed import prepare_deepspeed
        from finetune_trainer.job_config import WorldConfig

        prepare_deepspeed(WorldConfig(accelerator="CPU", nodes=1, devices_per_node=run.world))
        file.write_text(json.dumps(asdict(measure_states(run))), encoding="utf-8")
        code = 0
    except BaseException:  # noqa: BLE001  a forked child must never come back into its parent's work
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
