"""An operator as a process beside a control plane."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.kubernetes.kubectl import Kubectl
from tests.support.kubernetes.paths import ROOT
from tests.support.kubernetes.processes import free_port
from tests.support.kubernetes.waiting import wait_for

OPERATOR: Final = "finetune_operator"
BARE: Final = "tests.support.bare_operator"
"""Modules to run."""


@dataclass
class Running:
    """One operator that was started."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def page(self, path: str) -> tuple[int, str]:
        """Status and text; 0 while nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError as e:
            return 0, str(e)

    def lines(self) -> list[dict[str, Any]]:
        """What it logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def complaints(self) -> list[dict[str, Any]]:
        """What of it is an error."""
        return [line for line in self.lines() if line["level"] in {"error", "critical"}]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, and wait for its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


def start(module: str, kubectl: Kubectl, *, lease: str, log: Path, flags: Sequence[str] = ()) -> Running:
    """Start one, and wait until it is ready; whoever starts it ends it.

    Args:
        module: to run.
        kubectl: whose rights it has.
        lease: namespace of its lease.
        log: file for what it says.
        flags: more of them.
    """
    port = free_port()
    command = [
        *(sys.executable, "-m", module, "--kubeconfig", str(kubectl.kubeconfig), "--trainer-image", "none:1"),
        *("--lease-namespace", lease, "--health-host", "127.0.0.1", "--health-port", str(port), *flags),
    ]
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, stderr=out, stdout=out, text=True)
    running = Running(process, port, log)
    wait_for(lambda: running.page("/readyz")[0] == 200, f"{module} is ready; see {log}")
    return running


@contextmanager
def started(kubectl: Kubectl, *, lease: str, log: Path, flags: Sequence[str] = ()) -> Iterator[Running]:
    """The whole operator, ended in the end; its log without an error, since nothing that users write is one."""
    running = start(OPERATOR, kubectl, lease=lease, log=log, flags=flags)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
