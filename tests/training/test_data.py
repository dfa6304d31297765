"""Rows of several files, kinds and formats, really trained on together."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import yaml
from pyarrow import parquet

from tests.support.cli import finetune, steps_of, write_job
from tests.support.training_jobs import CONTRACT, answer, question, row, write_data

SCHEMA = {"type": "object", "additionalProperties": False, "properties": {"color": {"type": "string"}}}


def prepare(folder: Path, tiny: Path) -> None:
    shared = [
        {"conversations": [{"from": "human", "value": question(i)}, {"from": "gpt", "value": answer(i)}]}
        for i in range(16)
    ]
    (folder / "chats.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, shared)).encode()))
    with (folder / "tickets.csv").open("w", encoding="utf-8", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["instruction", "output"])
        writer.writerows([question(i), answer(i)] for i in range(100, 108))
        writer.writerow([question(108), '{"color": "red", "more": 1}'])
    parquet.write_table(pa.Table.from_pylist([row("Messages", i) for i in range(200, 216)]), folder / "more.parquet")
    (folder / "check.json").write_text(
        json.dumps([row("Alpaca", i, held_out=True) for i in range(1000, 1008)]), encoding="utf-8"
    )
    sources = [
        {"path": "chats.jsonl.gz"},
        {"path": "tickets.csv", "weight": "2"},
        {"path": "more.parquet", "format": "Messages", "weight": "0.5"},
    ]
    output = {"output": {"json": {**CONTRACT["output"]["json"], "schema": SCHEMA}}, "maxBadRows": "0.2"}
    dataset = {"train": {"sources": sources}, "evaluation": {"source": {"path": "check.json"}}, "contract": output}
    training = {"epochs": "8", "batchSize": 8, "learningRate": "3e-3"}
    write_job(folder, tiny, dataset=dataset | {"maxLength": 256}, adapter={"rank": 8}, training=training)


def test_files_of_every_kind_are_trained_on_together(tmp_path: Path, tiny: Path) -> None:
    prepare(tmp_path, tiny)
    said = finetune("run", "job.yaml", "--option", "lora-cpu", cwd=tmp_path)
    assert said.code == 0, said.out + said.err
    status = yaml.safe_load((tmp_path / "out" / "status.yaml").read_text(encoding="utf-8"))["status"]
    # 16 rows once, 8 twice, 8 of 16
    assert (status["dataset"]["rows"], status["dataset"]["skipped"]) == (40, 1)
    assert status["dataset"]["format"] == "ShareGPT and Alpaca and Messages"
    faults = json.loads((tmp_path / "out" / "data_report.json").read_text(encoding="utf-8"))
    assert [(f["file"], f["line"]) for f in faults] == [("tickets.csv", 10)]
    assert faults[0]["message"].startswith("the answer doesn't meet the schema at its top: ")
    losses = [step.loss for step in steps_of(tmp_path / "out")]
    assert losses[-1] < 0.5 * losses[0]
    repeated = yaml.safe_load((tmp_path / "out" / "finetune_config.yaml").read_text(encoding="utf-8"))["spec"][
        "dataset"
    ]
    assert [Path(s["path"]).name for s in repeated["train"]["sources"]] == [
        "chats.jsonl.gz",
        "tickets.csv",
        "more.parquet",
    ]


def test_moments_in_eight_bits_train_by_the_command_too(tmp_path: Path, tiny: Path) -> None:
    write_data(tmp_path)
    training = {"epochs": "4", "batchSize": 8, "learningRate": "3e-3", "optimizer": "AdamW8bit"}
    write_job(tmp_path, tiny, adapter={"rank": 8, "rankStabilized": True}, training=training)
    said = finetune("run", "job.yaml", "--option", "lora-cpu", cwd=tmp_path)
    assert said.code == 0, said.out + said.err
    losses = [step.loss for step in steps_of(tmp_path / "out")]
    assert losses[-1] < 0.8 * losses[0]
