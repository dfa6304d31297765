import json
from datetime import timedelta

import pytest

from finetune_operator.kube import errors
from finetune_operator.kube.errors import ApiError, ForbiddenError, refusal


def _status(code: int, reason: str, **details: object) -> bytes:
    return json.dumps({"kind": "Status", "code": code, "reason": reason, "message": "no", "details": details}).encode()


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (400, "BadRequest", errors.InvalidError),
        (401, "Unauthorized", errors.UnauthorizedError),
        (403, "Forbidden", errors.ForbiddenError),
        (404, "NotFound", errors.NotFoundError),
        (409, "Conflict", errors.ConflictError),
        (409, "AlreadyExists", errors.AlreadyExistsError),
        (410, "Expired", errors.GoneError),
        (418, "Teapot", ApiError),
        (422, "Invalid", errors.InvalidError),
        (429, "TooManyRequests", errors.TooManyRequestsError),
        (500, "InternalError", errors.ServerError),
        (503, "ServiceUnavailable", errors.ServerError),
    ],
)
def test_a_refusal_is_of_the_class_that_says_what_to_do(code: int, reason: str, expected: type[ApiError]) -> None:
    error = refusal(code, _status(code, reason))
    assert type(error) is expected
    assert (error.status, error.reason, str(error)) == (code, reason, f"{code} {reason}: no")


def test_how_long_to_wait_is_read_from_the_header_first() -> None:
    body = _status(429, "TooManyRequests", retryAfterSeconds=7)
    assert refusal(429, body, "3").retry_after == timedelta(seconds=3)
    assert refusal(429, body).retry_after == timedelta(seconds=7)
    assert refusal(429, b"").retry_after is None


def test_an_overloaded_server_that_says_how_long_asks_to_be_left_alone() -> None:
    assert type(refusal(503, b"", "5")) is errors.TooManyRequestsError


def test_a_namespace_that_is_being_deleted_is_told_from_a_missing_right() -> None:
    cause = {"reason": "NamespaceTerminating", "field": "metadata.namespace"}
    terminating = refusal(403, _status(403, "Forbidden", causes=[cause]))
    quota = refusal(403, _status(403, "Forbidden"))
    assert isinstance(terminating, ForbiddenError)
    assert isinstance(quota, ForbiddenError)
    assert (terminating.is_terminating, quota.is_terminating) == (True, False)


def test_what_no_api_server_writes_is_shown() -> None:
    error = refusal(502, b"<html>bad gateway</html>", phrase="Bad Gateway")
    assert str(error) == "502 Bad Gateway: <html>bad gateway</html>"


def test_errors_can_be_raised_and_chained() -> None:
    cause = refusal(500, b"")
    with pytest.raises(ApiError) as caught:
        raise refusal(429, b"") from cause
    assert caught.value.__cause__ is cause
