from datetime import timedelta
from pathlib import Path

import pytest

from finetune_operator.config import (
    CHOICES,
    WRITTEN,
    InvalidSettingsError,
    LogFormat,
    LogLevel,
    PullPolicy,
    Settings,
    read_settings,
)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"FINETUNE_{field.upper()}", raising=False)
    monkeypatch.setenv("FINETUNE_TRAINER_IMAGE", "registry.example/finetune-trainer:1")


def test_only_the_trainer_s_image_needs_to_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings([])
    assert settings.trainer_image == "registry.example/finetune-trainer:1"
    assert (settings.workers, settings.resync, settings.namespaces) == (32, timedelta(minutes=10), ())
    assert (settings.log_format, settings.leader_election) == (LogFormat.JSON, True)
    monkeypatch.delenv("FINETUNE_TRAINER_IMAGE")
    with pytest.raises(InvalidSettingsError, match=r"^--trainer-image or FINETUNE_TRAINER_IMAGE: field required$"):
        read_settings([])


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_WORKERS", "8")
    monkeypatch.setenv("FINETUNE_NAMESPACES", "a, b")
    monkeypatch.setenv("FINETUNE_RESYNC", "1h30m")
    monkeypatch.setenv("FINETUNE_LEADER_ELECTION", "false")
    settings = read_settings(["--workers", "2", "--log-level", "debug", "--kubeconfig", "/k"])
    assert (settings.workers, settings.namespaces, settings.resync) == (2, ("a", "b"), timedelta(minutes=90))
    assert (settings.leader_election, settings.log_level) == (False, LogLevel.DEBUG)
    assert settings.kubeconfig == Path("/k")


def test_namespaces_may_be_one_flag_or_several() -> None:
    assert read_settings(["--namespaces", "a,b"]).namespaces == ("a", "b")
    assert read_settings(["--namespaces", "a", "--namespaces", "b"]).namespaces == ("a", "b")


def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_OPERATOR_PORT", "tcp://10.0.0.1:8080")
    assert read_settings([]).health_port == 8080


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--workers", "0"], "--workers or FINETUNE_WORKERS: input should be greater than or equal to 1; it is '0'"),
        (["--workers", "many"], "--workers or FINETUNE_WORKERS: input should be a valid integer"),
        (["--resync", "10"], '--resync or FINETUNE_RESYNC: "10" is not a duration; write for example "2h15m"'),
        (["--resync", "5s"], "--resync or FINETUNE_RESYNC: input should be greater than or equal to 1 minute"),
        (["--health-port", "70000"], "--health-port or FINETUNE_HEALTH_PORT: input should be less than"),
        (["--lease-name", ""], "--lease-name or FINETUNE_LEASE_NAME: string should have at least 1 character"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        read_settings(arguments)
    assert str(caught.value).startswith(sentence)


def test_every_fault_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_LOG_LEVEL", "loud")
    with pytest.raises(InvalidSettingsError, match=r"(?s)FINETUNE_WORKERS.*FINETUNE_LOG_LEVEL.*'debug', 'info'"):
        read_settings(["--workers", "0"])


def test_an_unknown_flag_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_settings(["--worker-count", "3"])
    assert caught.value.code == 2
    assert "--worker-count" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_settings(["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "python -m finetune_operator --trainer-image" in said
    for field, about in Settings.model_fields.items():
        assert f"--{field.replace('_', '-')} " in said
        assert about.description
    # what is to be written, never a type of Python's
    for word in ("tuple", "timedelta", " str", " int", " bool", "Path", "0:10:00", "IF_NOT_PRESENT", "{DEBUG"):
        assert word not in said
    for word in (
        "--resync DURATION", "--namespaces NAME,...", "--log-level {debug,info,warning,error}", "default: 10m0s",
        "--trainer-pull-policy {Always,IfNotPresent,Never}", "default: IfNotPresent", "--leader-election {true,false}",
    ):  # fmt: skip
        assert word in " ".join(said.split())


def test_every_setting_says_what_is_to_be_written() -> None:
    assert set(WRITTEN) | set(CHOICES) == set(Settings.model_fields)


@pytest.mark.parametrize("written", ["WARNING", "Warning", "warning"])
def test_words_may_be_written_in_any_case(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_LOG_LEVEL", written)
    monkeypatch.setenv("FINETUNE_TRAINER_PULL_POLICY", "ifnotpresent")
    assert read_settings([]).log_level is LogLevel.WARNING
    assert read_settings(["--log-level", written]).log_level is LogLevel.WARNING
    assert read_settings([]).trainer_pull_policy is PullPolicy.IF_NOT_PRESENT


def test_the_lease_is_where_the_pod_is(tmp_path: Path) -> None:
    file = tmp_path / "namespace"
    with pytest.raises(InvalidSettingsError, match="write --lease-namespace"):
        read_settings([]).namespace_of_lease(file)
    file.write_text("system\n")
    assert read_settings([]).namespace_of_lease(file) == "system"
    assert read_settings(["--lease-namespace", "mine"]).namespace_of_lease(file) == "mine"
