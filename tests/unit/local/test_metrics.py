"""metrics.prom."""

import re
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.local.metrics import METRICS_FILE, render, write_metrics
from finetune_operator.local.record import Record
from tests.support.golden import check_golden
from tests.unit.lifecycle.test_status import MEMORY

SAMPLE = re.compile(r'[a-z_]+\{([a-z_]+="([^"\\\n]|\\[\\"n])*",?)+\} [0-9]+')
"""A line of Prometheus' text format, version 0.0.4, as far as ours need it."""

LABELS = {"name": "ticket-priority", "option": "lora-cpu"}


def make_record(folder: Path) -> Record:
    values: dict[str, Any] = {"spec": {}, "option": "lora-cpu", "hash": "sha256:1", "product": None, "devices": 1}
    return Record(**values, bundle=folder, result=None)


def test_metrics_read_as_they_should() -> None:
    check_golden("metrics/memory.prom", render(MEMORY, LABELS))


@pytest.mark.parametrize("name", ['a"b', "a\\", "a\nb", "a}b", "優先"])
def test_every_line_is_a_sample_whatever_a_label_holds(name: str) -> None:
    for line in render(MEMORY, LABELS | {"name": name}).split("\n")[:-1]:
        assert line.startswith("#") or SAMPLE.fullmatch(line), line


def test_predicted_and_measured_add_up_to_their_peaks() -> None:
    found: dict[str, int] = {}
    for line in render(MEMORY, LABELS).splitlines():
        if not line.startswith("#"):
            metric, value = line.split("{")[0], int(line.rsplit(" ", 1)[1])
            origin = re.search('origin="([a-z]+)"', line)
            key = f"{metric} {origin[1]}" if origin else metric
            found[key] = found.get(key, 0) + value
    assert found["finetune_memory_predicted_bytes"] == found["finetune_memory_peak_bytes predicted"]
    assert found["finetune_memory_measured_bytes"] == found["finetune_memory_peak_bytes measured"]


@pytest.mark.parametrize(
    "text", [pytest.param(None, id="nothing-measured"), pytest.param('{"event": "memory"}', id="of-another-version")]
)
def test_without_a_measurement_no_file_is_written(text: str | None, tmp_path: Path) -> None:
    (tmp_path / ".finetune").mkdir()
    if text is not None:
        (tmp_path / ".finetune" / "memory.json").write_text(text, encoding="utf-8")
    write_metrics(tmp_path, make_record(tmp_path))
    assert not (tmp_path / METRICS_FILE).exists()
