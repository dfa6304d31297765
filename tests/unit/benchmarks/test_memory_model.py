"""The memory model against published measurements: how true it has to stay."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from fitting import halves
from memory_model import main, read_cases, report, score
from stacks import UnreadableRowError, device_memory, read_case

CASES = Path(__file__).parents[3] / "benchmarks" / "data" / "vram-cases.csv"


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return report(read_cases(CASES)[0])


def first_row() -> dict[str, str]:
    with CASES.open(encoding="utf-8", newline="") as f:
        return next(csv.DictReader(f))


def test_every_published_case_is_expressed() -> None:
    cases, refused = read_cases(CASES)
    assert (len(cases), refused) == (613, [])


@pytest.mark.parametrize(
    ("group", "mean"),
    [
        pytest.param("allocated", 3, id="allocated"),
        pytest.param("process, chunked loss", 3, id="process-chunked"),
        pytest.param("process, whole logits", 12, id="process-whole"),
        pytest.param("process, DeepSpeed", 10, id="process-deepspeed"),
    ],
)
def test_mean_error_keeps_to_its_goal(found: dict[str, Any], group: str, mean: float) -> None:
    assert 0 < found["groups"][group]["mape"] <= mean


def test_allocated_memory_is_seldom_far_off(found: dict[str, Any]) -> None:
    assert found["allocated"]["p95"] <= 7
    assert found["allocated"]["worst_under"] >= -8


def test_what_fits_is_told_right(found: dict[str, Any]) -> None:
    assert found["fit"]["n"] > 300
    assert found["fit"]["right"] >= 97
    assert found["fit"]["false_fit"] <= 2


def test_halves_share_no_experiment() -> None:
    cases, _ = read_cases(CASES)
    seen, unseen = halves(cases)
    assert len(seen) + len(unseen) == len(cases)
    assert {c.cluster for c in seen} & {c.cluster for c in unseen} == set()
    assert min(len(score(seen)), len(score(unseen))) > 200


def test_one_object_is_printed_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(CASES), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["allocated"].keys() == {"n", "mape", "p95", "worst_under", "worst_over"}
    assert told["fit"].keys() == {"n", "right", "false_fit"}
    assert told["process"]["n"] == 285


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"model": "nobody-9b"}, "the model nobody-9b isn't known", id="model"),
        pytest.param({"method": "prompt"}, "method is 'prompt'; known are dora, full, lora, qlora", id="method"),
        pytest.param({"optimizer": "sgd"}, "optimizer is 'sgd'; known are", id="optimizer"),
        pytest.param({"offload": "nvme"}, "offload is 'nvme'; known are", id="offload"),
        pytest.param({"offload": "param", "zero": "2"}, "under ZeRO-3 alone", id="offload-below-zero-3"),
        pytest.param({"measured_gib": "nan"}, "measured_gib is 'nan'", id="measured"),
        pytest.param({"world": "-2"}, "world is '-2'; write a number of 1 or more", id="no-devices"),
        pytest.param({"seq_len": "inf"}, "seq_len is 'inf'", id="endless"),
        pytest.param({"method": "lora", "quant": "int8"}, "write qlora", id="quantised-lora"),
        pytest.param({"method": "lora", "targets": "5"}, "targets is 5; write a list of names", id="targets-no-list"),
        pytest.param({"method": "lora", "lora_r": "99999"}, "lora_r is 99999", id="rank"),
        pytest.param({"note": None}, "has not as many cells as the header", id="short-row"),
        pytest.param(
            {"method": "lora", "targets": '["nowhere"]'}, 'santacoder has none of the modules ["nowhere"]', id="targets"
        ),
        pytest.param({"seq_len": "long"}, "seq_len is 'long'; write a number", id="number"),
    ],
)
def test_a_row_that_cannot_be_expressed_says_why(change: dict[str, Any], told: str) -> None:
    with pytest.raises(UnreadableRowError) as e:
        read_case(first_row() | change)
    assert told in str(e.value)


def test_a_file_without_cases_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "none.csv"
    empty.write_text("case,model\n", encoding="utf-8")
    assert main([str(empty)]) == 2
    assert main([str(tmp_path / "gone.csv")]) == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize(
    ("name", "gib"),
    [("a100", 79.15), ("rtx4090", 23.6), ("H200", 138.3), ("a100-40gb", 39.4), ("abacus", None)],
)
def test_devices_by_the_names_of_tables(name: str, gib: float | None) -> None:
    assert device_memory(name) == (None if gib is None else pytest.approx(gib, rel=0.01))
