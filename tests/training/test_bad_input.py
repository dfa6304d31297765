"""Everything that a user can get wrong: one sentence with place and remedy, a code, no traceback, nothing written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from finetune_operator.cli.errors import INFEASIBLE
from finetune_trainer.exit_codes import ExitCode
from tests.support.cli import finetune, write_job
from tests.support.training_jobs import answer, question, row, write_data, write_rows

Break = Callable[[Path], dict[str, Any]]
"""Spoils a folder that holds data and `model`; parts of the spec that differ."""

DATA = {
    "train": {"source": {"path": "train.jsonl"}},
    "evaluation": {"source": {"path": "check.jsonl"}},
    "maxLength": 256,
}
STRICT = DATA | {"contract": {"onBadRow": "Fail"}}


class Case(NamedTuple):
    spoil: Break
    code: int
    says: str


def spec(**parts: Any) -> Break:
    return lambda _: parts


def replaced(name: str, text: str) -> Break:
    def spoil(folder: Path) -> dict[str, Any]:
        (folder / name).write_text(text, encoding="utf-8")
        return {}

    return spoil


def removed(name: str) -> Break:
    def spoil(folder: Path) -> dict[str, Any]:
        (folder / name).unlink()
        return {}

    return spoil


def with_row(line: int, value: Any, dataset: dict[str, Any] = STRICT) -> Break:
    """A row of train.jsonl is another one; counted from 1."""

    def spoil(folder: Path) -> dict[str, Any]:
        lines = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
        lines[line - 1] = json.dumps(value)
        (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return {"dataset": dataset}

    return spoil


def cut_off(folder: Path) -> dict[str, Any]:
    text = (folder / "train.jsonl").read_text(encoding="utf-8")
    (folder / "train.jsonl").write_text(text[:-20], encoding="utf-8")
    return {}


def mixed(folder: Path) -> dict[str, Any]:
    rows = [row("Alpaca", i) for i in range(32)] + [row("Messages", i) for i in range(32, 64)]
    write_rows(folder / "train.jsonl", rows)
    return {}


def corrupt_weights(folder: Path) -> dict[str, Any]:
    path = folder / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    return {}


def pickles_only(folder: Path) -> dict[str, Any]:
    (folder / "model" / "model.safetensors").rename(folder / "model" / "pytorch_model.bin")
    return {}


CASES = {
    "unknown field": Case(
        spec(hardwear={}), ExitCode.CONFIGURATION, "spec.hardwear: unknown field; did you mean hardware?"
    ),
    "float for a decimal": Case(
        spec(training={"learningRate": 2e-4}),
        ExitCode.CONFIGURATION,
        'spec.training.learningRate: 0.0002 is a float; write it as a string: "0.0002"',
    ),
    "contradictory counts": Case(
        spec(training={"batchSize": 6}, hardware={"devicesPerNode": 4}), ExitCode.CONFIGURATION, "write a multiple of 4"
    ),
    "cpu with several devices": Case(
        spec(hardware={"accelerator": "CPU", "devicesPerNode": 2}), ExitCode.CONFIGURATION, "contradicts"
    ),
    "data missing": Case(removed("train.jsonl"), ExitCode.DATA, "train.jsonl: there is no such file"),
    "data empty": Case(replaced("train.jsonl", ""), ExitCode.DATA, "train.jsonl: is empty"),
    "data cut off": Case(cut_off, ExitCode.DATA, "train.jsonl:64: is cut off"),
    "data mixed": Case(mixed, ExitCode.DATA, "mixes formats: 32 Alpaca rows (first at line 1) and 32 Messages rows"),
    "data of no format": Case(
        replaced("train.jsonl", '{"a": 1}\n'), ExitCode.DATA, "train.jsonl:1: has the keys a; write"
    ),
    "data no json": Case(replaced("train.jsonl", "hello\n"), ExitCode.DATA, "train.jsonl:1: is not JSON"),
    "answer empty": Case(
        with_row(17, {"instruction": "What?", "output": " "}), ExitCode.DATA, "train.jsonl:17: output is empty"
    ),
    "row twice": Case(with_row(9, row("Alpaca", 3)), ExitCode.DATA, "train.jsonl:9: is the same row as line 4"),
    "row held out, too": Case(
        with_row(5, {"instruction": question(1001), "output": answer(1001)}), ExitCode.DATA, "train.jsonl:5: "
    ),
    "row too long": Case(
        with_row(8, {"instruction": "What? " * 300, "output": "x"}), ExitCode.DATA, "train.jsonl:8: has "
    ),
    "too many bad rows": Case(
        with_row(3, {"instruction": "?"}, DATA | {"contract": {"maxBadRows": "0.01"}}),
        ExitCode.DATA,
        "train.jsonl:3: output is missing; write it as a string (1 of 64 rows are bad); contract.maxBadRows allows ",
    ),
    "target that isn't there": Case(
        spec(adapter={"targetModules": ["qproj"]}),
        ExitCode.CONFIGURATION,
        "qproj is not in LlamaForCausalLM; it has q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
    ),
    "model missing": Case(
        spec(model={"source": {"path": "nowhere"}}), ExitCode.MODEL, "nowhere doesn't exist; write a folder with"
    ),
    "model without config": Case(removed("model/config.json"), ExitCode.MODEL, "model: has no config.json"),
    "model without weights": Case(removed("model/model.safetensors"), ExitCode.MODEL, "has no weights"),
    "model without tokenizer": Case(removed("model/tokenizer.json"), ExitCode.MODEL, "has no tokenizer.json"),
    "model of another kind": Case(
        replaced("model/config.json", '{"model_type": "bert", "architectures": ["BertForMaskedLM"]}'),
        ExitCode.MODEL,
        "bert",
    ),
    "weights cut off": Case(corrupt_weights, ExitCode.MODEL, "model.safetensors: "),
    "weights pickled": Case(pickles_only, ExitCode.MODEL, "has only pickled weights, which can run code"),
    "gpu that isn't there": Case(spec(hardware={"accelerator": "GPU"}), INFEASIBLE, "this machine has none"),
    "option that isn't there": Case(spec(plan={"option": "lora-9x24g"}), INFEASIBLE, "choose one of"),
    "metric without contract": Case(
        spec(acceptance={"metric": "json-valid"}), ExitCode.CONFIGURATION, "dataset.contract.output.json"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_place_and_remedy(name: str, tiny: Path, tmp_path: Path) -> None:
    write_data(tmp_path)
    shutil.copytree(tiny, tmp_path / "model")
    changes = CASES[name].spoil(tmp_path)
    write_job(tmp_path, Path("model"), **{"plan": {"option": "lora-cpu"}} | changes)
    before = sorted(p for p in tmp_path.rglob("*") if ".cache" not in p.parts)
    said = finetune("run", "job.yaml", cwd=tmp_path)
    assert CASES[name].says in said.err, said.err
    assert said.code == CASES[name].code
    assert "Traceback" not in said.err + said.out
    assert len(said.err.strip().splitlines()) == 1
    assert sorted(p for p in tmp_path.rglob("*") if ".cache" not in p.parts) == before


def test_bad_rows_are_skipped_and_told_when_the_contract_allows_it(tiny: Path, tmp_path: Path) -> None:
    write_data(tmp_path)
    write_job(tmp_path, tiny, **with_row(17, {"instruction": "What?", "output": ""}, DATA)(tmp_path))
    said = finetune("plan", "job.yaml", cwd=tmp_path)
    assert said.code == 0
    assert "63 rows" in said.out


def test_a_wrong_unit_in_a_nodes_file_is_refused(tiny: Path, tmp_path: Path) -> None:
    write_data(tmp_path)
    write_job(tmp_path, tiny)
    nodes = "nodes:\n- gpus: {product: NVIDIA A10, memory: 24GB, count: 1}\n  cores: 8\n  ram: 64GiB\n  disk: 100GiB\n"
    (tmp_path / "nodes.yaml").write_text(nodes, encoding="utf-8")
    said = finetune("plan", "job.yaml", "--nodes", "nodes.yaml", cwd=tmp_path)
    assert said.code == ExitCode.CONFIGURATION
    assert 'nodes.yaml:2: nodes[0].gpus.memory: "24GB" is a decimal unit' in said.err


def test_several_options_and_nobody_to_ask_lists_them_and_writes_nothing(tiny: Path, tmp_path: Path) -> None:
    write_data(tmp_path)
    write_job(tmp_path, tiny)
    said = finetune("run", "job.yaml", cwd=tmp_path)
    assert said.code == 3
    assert "lora-cpu" in said.out
    assert "write --option with one of" in said.err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_said_and_the_same_command_goes_on(tiny: Path, tmp_path: Path) -> None:
    write_data(tmp_path)
    write_job(tmp_path, tiny)
    # no file may grow beyond 30 kB: the first checkpoint meets that as it would a full disk
    limited = ["bash", "-c", 'ulimit -f 60; trap "" XFSZ; exec "$@"', "--"]
    said = finetune("run", "job.yaml", "--option", "full-cpu", cwd=tmp_path, before=limited)
    assert said.code == ExitCode.STORAGE_FULL, said.out + said.err
    assert "no space left" in said.err
    assert "Traceback" not in said.err
    assert finetune("run", "job.yaml", "--option", "full-cpu", cwd=tmp_path).code == 0
