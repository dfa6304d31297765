"""The unit tier answers within seconds: fewer examples of each property than elsewhere, and no test may hang."""

import os

import pytest
from hypothesis import settings

settings.register_profile("unit", max_examples=40, deadline=None)
settings.load_profile("unit")

HANG_SECONDS = 3600 if "FINETUNE_EXAMPLES" in os.environ else 60
"""Guards against hanging only: a busy machine fails nothing."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test of this tier its time-out."""
    for item in items:
        if "tests/unit" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(HANG_SECONDS))


@pytest.fixture
def anyio_backend() -> str:
    """What runs coroutines that are tests."""
    return "asyncio"
