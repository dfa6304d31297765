import os
import re
from pathlib import Path

import psutil
import pytest

from finetune_trainer import environment
from finetune_trainer.environment import ABSENT, cores, cpu_model, gather_environment, ram_bytes, version_of


def test_the_environment_of_a_run_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret_that_nobody_may_read")
    found = gather_environment("finetune run job.yaml", 7, {"train.jsonl": "sha256:00"})
    assert (found.command, found.seed, found.checksums) == ("finetune run job.yaml", 7, {"train.jsonl": "sha256:00"})
    assert {*environment.PACKAGES, "python", "system"} == set(found.versions)
    assert re.match(r"\d+\.\d+", found.versions["torch"])
    assert found.device
    assert (found.driver, found.cores > 0, found.ram_bytes > 0) == ("", True, True)
    text = found.model_dump_json()
    assert "hf_secret" not in text
    assert os.uname().nodename not in (found.device, *found.versions.values())


def test_a_package_that_is_not_there_is_said() -> None:
    assert version_of("no-such-distribution-anywhere") == ABSENT


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("processor\t: 0\nmodel name\t: Example 9000 @ 2:1\nmodel name\t: second\n", "Example 9000 @ 2:1"),
        pytest.param("model name\t:\nmodel name\t: second\n", "second"),
    ],
)
def test_the_processor_is_named_as_the_system_names_it(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
    assert cpu_model(tmp_path / "cpuinfo") == name


@pytest.mark.parametrize("text", [None, "Features : fp asimd\n"], ids=["no-file", "no-name-in-it"])
def test_a_processor_without_a_name_is_told_by_its_architecture(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
    assert cpu_model(tmp_path / "cpuinfo")


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        pytest.param("max 100000", 8, id="no-limit"),
        pytest.param("400000 100000", 4, id="four"),
        pytest.param("150000 100000", 2, id="one-and-a-half-is-rounded-up"),
        pytest.param("10000 100000", 1, id="a-tenth-is-still-one"),
        pytest.param("9900000 100000", 8, id="more-than-there-are"),
        pytest.param(None, 8, id="no-container"),
    ],
)
def test_cores_are_what_the_container_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str | None, expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n", encoding="ascii")
    assert cores(tmp_path) == expected


@pytest.mark.parametrize("limit", ["max", "1000000", str(2**62), None])
def test_memory_is_what_the_container_allows(tmp_path: Path, limit: str | None) -> None:
    if limit is not None:
        (tmp_path / "memory.max").write_text(f"{limit}\n", encoding="ascii")
    total = psutil.virtual_memory().total
    assert ram_bytes(tmp_path) == (1_000_000 if limit == "1000000" else total)
