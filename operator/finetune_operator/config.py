"""What a platform sets once: from flags and the environment, checked before anything starts."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from inspect import getdoc
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, NoDecode, SettingsConfigDict

from finetune_operator.exceptions import FineTuneError
from finetune_operator.units import format_duration, parse_duration

PREFIX: Final = "FINETUNE_"
"""Of environment variables. Kubernetes sets FINETUNE_OPERATOR_PORT and its like for a Service of our name."""

NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod finds the name of its namespace."""


class InvalidSettingsError(FineTuneError):
    """A flag or an environment variable can't be used as written."""


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    TEXT = "text"


class PullPolicy(StrEnum):
    """As of a container."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class LogLevel(StrEnum):
    """What is worth a log line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _any_case(kind: type[StrEnum]) -> BeforeValidator:
    words = {str(word).lower(): str(word) for word in kind}
    return BeforeValidator(lambda value: words.get(value.lower(), value) if isinstance(value, str) else value)


def _duration(value: Any) -> Any:
    return timedelta(seconds=parse_duration(value)) if isinstance(value, str) else value


def _names(value: Any) -> Any:
    names = value.split(",") if isinstance(value, str) else value
    return tuple(name.strip() for entry in names for name in str(entry).split(",") if name.strip())


Duration = Annotated[timedelta, BeforeValidator(_duration, json_schema_input_type=str)]
Port = Annotated[int, Field(ge=1, le=65535)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names, json_schema_input_type=str)]


class Settings(BaseSettings):
    r"""Plans and runs the FineTuneJobs of a cluster.

    Every flag can be set as an environment variable, too: --log-level is FINETUNE_LOG_LEVEL; a flag wins. In a pod
    only the trainer's image needs to be. On a laptop, against the cluster that kubectl talks to:

    python -m finetune_operator --trainer-image registry.example/finetune-trainer:1 --lease-namespace default \
    --log-format text
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, cli_kebab_case=True, cli_avoid_json=True, cli_hide_none_type=True, frozen=True
    )

    namespaces: Names = Field((), description="Namespaces to look after, separated by commas; none: all.")
    kubeconfig: Path | None = Field(None, description="File that says where the API server is and who we are.")
    context: str | None = Field(None, description="Context of that file; none: its current one.")
    workers: int = Field(32, ge=1, le=64, description="FineTuneJobs that are worked on at the same time.")
    resync: Duration = Field(
        timedelta(minutes=10),
        ge=timedelta(minutes=1),
        description="How often everything is listed anew, as 10m: mends what a watch has missed.",
    )
    leader_election: bool = Field(
        True,
        description="Whether to wait for the lease before working; without it, run one process only.",
    )
    lease_name: str = Field("finetune-operator", min_length=1, description="Name of the lease that the leader holds.")
    lease_namespace: str | None = Field(None, description="Namespace of the lease; none: the pod's own.")
    identity: str | None = Field(None, description="Name of this process in the lease; none: host and a random word.")
    health_host: str = Field("0.0.0.0", description="Address of /healthz, /readyz and /metrics.")  # noqa: S104
    health_port: Port = Field(8080, description="Port of /healthz, /readyz and /metrics.")
    log_level: Annotated[LogLevel, _any_case(LogLevel)] = Field(LogLevel.INFO, description="What is worth a log line.")
    log_format: Annotated[LogFormat, _any_case(LogFormat)] = Field(LogFormat.JSON, description="How log lines look.")

    trainer_image: str = Field(min_length=1, description="Image that model and data are read by, and that trains.")
    trainer_pull_policy: Annotated[PullPolicy, _any_case(PullPolicy)] = Field(
        PullPolicy.IF_NOT_PRESENT, description="When a node pulls that image."
    )
    trainer_user: int = Field(10001, ge=1, description="User and group that a job's pods run as.")
    trainer_grace: Duration = Field(
        timedelta(minutes=5),
        ge=timedelta(seconds=1),
        description="How long a training has for a step and a checkpoint when it is stopped.",
    )

    def namespace_of_lease(self, file: Path = NAMESPACE_FILE) -> str:
        """Where the lease is.

        Raises:
            InvalidSettingsError: nothing says it.
        """
        if self.lease_namespace:
            return self.lease_namespace
        try:
            return file.read_text().strip()
        except OSError as e:
            raise InvalidSettingsError(
                "not in a pod, so nothing says where the lease is to be; write --lease-namespace NAMESPACE, "
                "or --leader-election false where no other process runs"
            ) from e


WRITTEN: Final = {
    "namespaces": "NAME,...",
    "kubeconfig": "FILE",
    "context": "NAME",
    "workers": "COUNT",
    "resync": "DURATION",
    "lease_name": "NAME",
    "lease_namespace": "NAMESPACE",
    "identity": "NAME",
    "health_host": "ADDRESS",
    "health_port": "PORT",
    "trainer_image": "IMAGE",
    "trainer_user": "NUMBER",
    "trainer_grace": "DURATION",
}
"""What --help shows for a value, by setting."""

CHOICES: Final[dict[str, Iterable[str]]] = {
    "leader_election": ("true", "false"),
    "log_level": LogLevel,
    "log_format": LogFormat,
    "trainer_pull_policy": PullPolicy,
}
"""Likewise where one of a few words is to be written."""


def _add_argument(parser: Any, *flags: str, **keywords: Any) -> Any:
    """As argparse's, with what is to be written and the default in the form in which both are written."""
    name = keywords.get("dest", "")
    if name in Settings.model_fields:
        keywords["metavar"] = WRITTEN.get(name) or f"{{{','.join(map(str, CHOICES[name]))}}}"
        keywords["help"] = f"{Settings.model_fields[name].description} {_default(name)}".rstrip()
    return ArgumentParser.add_argument(parser, *flags, **keywords)


def _default(name: str) -> str:
    field = Settings.model_fields[name]
    if field.is_required():
        return "(required)"
    default = format_duration(field.default.total_seconds()) if isinstance(field.default, timedelta) else field.default
    shown = str(default).lower() if isinstance(default, bool) else default
    return "" if shown is None or shown == () else f"(default: {shown})"


def _from_flags(arguments: list[str]) -> CliSettingsSource[ArgumentParser]:
    about = getdoc(Settings)
    parser = ArgumentParser(
        prog="python -m finetune_operator", description=about, formatter_class=RawDescriptionHelpFormatter
    )
    source = CliSettingsSource[ArgumentParser](Settings, root_parser=parser, add_argument_method=_add_argument)
    return source(args=arguments)


def read_settings(arguments: list[str]) -> Settings:
    """Settings from flags and the environment.

    Raises:
        InvalidSettingsError: a sentence for each that can't be used.
        SystemExit: --help, or a flag that isn't one; what is to be said was printed.
    """
    try:
        return Settings(_cli_settings_source=_from_flags(arguments))
    except ValidationError as e:
        raise InvalidSettingsError("\n".join(_sentence(error) for error in e.errors())) from e


def _sentence(error: Any) -> str:
    field = str(error["loc"][0]).replace("-", "_")
    message = error["msg"].removeprefix("Value error, ")
    return f"--{field.replace('_', '-')} or {PREFIX}{field.upper()}: {message[:1].lower()}{message[1:]}" + (
        f"; it is {error['input']!r}" if isinstance(error["input"], str | int) else ""
    )
