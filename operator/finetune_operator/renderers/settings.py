"""What a platform says once for all of its jobs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSettings:
    """Of the operator, not of a job."""

    trainer_image: str
    image_pull_policy: str = "IfNotPresent"
    user: int = 10001
    """User and group that pods run as; volumes are made writable for the group."""
    grace_seconds: int = 300
    """Between the request to stop and the end by force: time for a step and a checkpoint."""
    scratch: int = 20 << 30
    """Bytes of a node's disk that a pod may use for caches, beside a model that it fetches."""
