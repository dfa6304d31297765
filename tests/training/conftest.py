"""What is slow to make is made once: the tiny model, and a process that has torch imported."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import tiny_model
from tests.support.trainer_process import import_stack


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder; made in another process, since this one must not touch a tensor before it forks."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    code = (
        f"from pathlib import Path; from {tiny_model.__name__} import write_model; write_model(Path({str(folder)!r}))"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def stack() -> None:
    """Import torch and all that stands on it, once for all forked runs."""
    import_stack()


@pytest.fixture
def port() -> int:
    """A free port for the rendezvous."""
    return free_port()


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        number: int = s.getsockname()[1]
    return number
