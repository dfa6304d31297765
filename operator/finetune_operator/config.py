"""What a platform sets once: from flags and the environment, checked before anything starts."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from finetune_operator.exceptions import FineTuneError
from finetune_operator.units import parse_duration

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
    workers: int = Field(4, ge=1, le=64, description="FineTuneJobs that are worked on at the same time.")
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
    log_level: LogLevel = Field(LogLevel.INFO, description="What is worth a log line.")
    log_format: LogFormat = Field(LogFormat.JSON, description="How log lines look.")

    trainer_image: str = Field(min_length=1, description="Image that model and data are read by, and that trains.")
    trainer_pull_policy: PullPolicy = Field(PullPolicy.IF_NOT_PRESENT, description="When a node pulls that image.")
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


def read_settings(arguments: list[str]) -> Settings:
    """Settings from flags and the environment.

    Raises:
        InvalidSettingsError: a sentence for each that can't be used.
        SystemExit: --help, or a flag that isn't one; what is to be said was printed.
    """
    try:
        return Settings(_cli_parse_args=arguments, _cli_prog_name="python -m finetune_operator")
    except ValidationError as e:
        raise InvalidSettingsError("\n".join(_sentence(error) for error in e.errors())) from e


def _sentence(error: Any) -> str:
    field = str(error["loc"][0]).replace("-", "_")
    message = error["msg"].removeprefix("Value error, ")
    return f"--{field.replace('_', '-')} or {PREFIX}{field.upper()}: {message[:1].lower()}{message[1:]}" + (
        f"; it is {error['input']!r}" if isinstance(error["input"], str | int) else ""
    )
