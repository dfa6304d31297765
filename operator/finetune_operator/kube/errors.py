"""What the API server refuses, by what is to be done about it.

KubeError
├── TransportError          no answer: the server can't be reached, or took too long
└── ApiError                an answer that is a refusal
    ├── UnauthorizedError       401: our credentials aren't accepted
    ├── ForbiddenError          403: a right is missing, a quota is full, or the namespace is being deleted
    ├── NotFoundError           404: the namespace, or what would be changed, isn't there
    ├── ConflictError           409: somebody changed it first, or it is another object of that name
    │   └── AlreadyExistsError
    ├── GoneError               410: the place in the list or watch is too old
    ├── InvalidError            400, 413, 415, 422: the object or the request is wrong; the same again is refused again
    ├── TooManyRequestsError    429, or anything with Retry-After
    └── ServerError             5xx
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


class KubeError(Exception):
    """The API server didn't do what was asked."""


class TransportError(KubeError):
    """The API server gave no answer: whether a write was done isn't known."""


@dataclass(eq=False)
class ApiError(KubeError):
    """The API server refused."""

    status: int
    reason: str = ""
    """The API's own word: Forbidden, AlreadyExists …"""
    message: str = ""
    causes: tuple[str, ...] = ()
    """The API's words for why, as NamespaceTerminating."""
    retry_after: timedelta | None = None
    """How long the server asks to be left alone."""

    def __str__(self) -> str:
        return f"{self.status} {self.reason}: {self.message}" if self.message else f"{self.status} {self.reason}"


class UnauthorizedError(ApiError):
    """Our credentials aren't accepted."""


class ForbiddenError(ApiError):
    """A right is missing, a quota is full, or the namespace is being deleted."""

    @property
    def is_terminating(self) -> bool:
        """Whether the namespace is being deleted: nothing new can be made there, and nothing needs to be."""
        return "NamespaceTerminating" in self.causes


class NotFoundError(ApiError):
    """The namespace, or what would be changed, isn't there."""


class ConflictError(ApiError):
    """Somebody changed the object first, or another object has its name."""


class AlreadyExistsError(ConflictError):
    """An object of that name is there."""


class GoneError(ApiError):
    """The place in the list or watch is too old: list again."""


class InvalidError(ApiError):
    """The object or the request is wrong: the same again is refused again."""


class TooManyRequestsError(ApiError):
    """The server asks to be left alone for a while."""


class ServerError(ApiError):
    """The server failed."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    413: InvalidError,
    415: InvalidError,
    422: InvalidError,
    429: TooManyRequestsError,
}


def refusal(status: int, body: bytes, retry_after: str | None = None, phrase: str = "") -> ApiError:
    """The error that an HTTP answer means; bodies that no API server writes are shown as they are.

    Args:
        status: HTTP status, 400 or more.
        body: a Status object as JSON, or whatever a proxy wrote.
        retry_after: the header of that name: whole seconds.
        phrase: HTTP's words for the status.
    """
    answer = _read(body)
    reason = str(answer.get("reason") or phrase)
    details = answer.get("details") or {}
    causes = tuple(str(cause.get("reason", "")) for cause in details.get("causes") or ())
    delay = _seconds(retry_after) or _seconds(details.get("retryAfterSeconds"))
    error = _class_of(status, reason, is_delayed=delay is not None)
    return error(status, reason, str(answer.get("message", "")), causes, delay)


def _class_of(status: int, reason: str, *, is_delayed: bool) -> type[ApiError]:
    if reason == "AlreadyExists":
        return AlreadyExistsError
    if is_delayed and status >= 500:
        return TooManyRequestsError
    return _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)


def _read(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    return {"message": body[:500].decode(errors="replace").strip()}


def _seconds(value: object) -> timedelta | None:
    text = str(value or "")
    return timedelta(seconds=int(text)) if text.isdigit() and int(text) > 0 else None
