"""The user's own kubectl, with the user's own rights: argument lists, never a shell."""

import json
import os
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, Any, Final

from finetune_operator.constants import GROUP, KIND
from finetune_operator.exceptions import ClusterError
from finetune_operator.local.children import Notify

PLURAL: Final = "finetunejobs"
"""What the API server calls our kind."""

RESOURCE: Final = f"{PLURAL}.{GROUP}"
"""The same for kubectl: with the group, since another project has a kind of nearly the same name."""

CHUNK: Final = 65536
"""Bytes that are read at once."""

_LACKING: Final = (
    "the server doesn't have a resource type",
    "no matches for kind",
    "could not find the requested resource",
)
"""What kubectl says of a cluster without our kind."""


_CONFLICT: Final = "Please review the fields above"
"""Where kubectl's advice on a conflict begins: it is about options of kubectl that ours don't have."""


class NotFoundError(ClusterError):
    """The object isn't there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """One kubectl, aimed at one cluster and namespace."""

    program: str
    aim: tuple[str, ...]
    """Arguments that say which cluster and namespace; empty: kubectl's own current ones."""
    notify: Notify
    """Told what kubectl warns of."""

    def ask(self, *arguments: str, given: str | None = None) -> str:
        """What kubectl prints.

        Args:
            arguments: of kubectl.
            given: what it reads from its standard input.

        Raises:
            NotFoundError: the object isn't there.
            ClusterError: it can't be run, or it refuses.
        """
        try:
            done = subprocess.run(
                self.command(*arguments),
                input=given or "",
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as e:
            raise self._unusable(e) from e
        if done.returncode:
            raise refused(done.stderr, done.returncode)
        for line in done.stderr.splitlines():
            self.notify(line)
        return done.stdout

    def ask_json(self, *arguments: str, given: str | None = None) -> dict[str, Any]:
        """The object or the list that kubectl prints.

        Raises:
            NotFoundError: the object isn't there.
            ClusterError: it can't be run, refuses, or prints something else.
        """
        text = self.ask(*arguments, "--output=json", given=given)
        try:
            value = json.loads(text)
        except ValueError as e:
            raise ClusterError(f"kubectl's answer is not JSON ({e})") from e
        if not isinstance(value, dict):
            raise ClusterError("kubectl's answer is not an object")
        return value

    @contextmanager
    def stream(self, *arguments: str) -> Iterator["Stream"]:
        """What kubectl prints as it comes; leaving ends it.

        Raises:
            ClusterError: it can't be run.
        """
        # a file and not a pipe: a child that says much on the side blocks nobody
        with tempfile.TemporaryFile() as errors:
            try:
                child = subprocess.Popen(
                    self.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
                )
            except OSError as e:
                raise self._unusable(e) from e
            with child:
                try:
                    yield Stream(child, errors)
                finally:
                    child.kill()

    def within(self, namespace: str) -> "Kubectl":
        """The same, aimed at that namespace; at kubectl's own where it is empty."""
        if not namespace:
            return self
        others = [a for a in self.aim if not a.startswith("--namespace=")]
        return replace(self, aim=(*others, f"--namespace={namespace}"))

    def command(self, *arguments: str) -> list[str]:
        """The whole command line."""
        # aimed first: what follows -- belongs to a program in a pod
        return [self.program, *self.aim, *arguments]

    def _unusable(self, error: OSError) -> ClusterError:
        return ClusterError(f"{self.program} can't be run: {error.strerror}")


class Stream:
    """A kubectl that is still at it."""

    def __init__(self, child: "subprocess.Popen[bytes]", errors: IO[bytes]) -> None:
        if child.stdout is None:
            raise TypeError("its output is not a pipe")
        self.output: IO[bytes] = child.stdout
        self._child = child
        self._errors = errors

    def chunks(self, deadline: float | None = None) -> Iterator[bytes]:
        """Bytes as they come, until it ends.

        Args:
            deadline: by the monotonic clock; None: however long it takes.

        Raises:
            TimeoutError: the deadline has passed.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self.output, selectors.EVENT_READ)
            while True:
                left = None if deadline is None else deadline - time.monotonic()
                if (left is not None and left <= 0) or not selector.select(left):
                    raise TimeoutError
                chunk = os.read(self.output.fileno(), CHUNK)
                if not chunk:
                    return
                yield chunk

    def finish(self) -> None:
        """Wait for its end.

        Raises:
            ClusterError: it refused.
        """
        code = self._child.wait()
        if code:
            self._errors.seek(0)
            raise refused(self._errors.read().decode(errors="replace"), code)


def find_kubectl(notify: Notify, *, context: str | None, namespace: str | None, kubeconfig: str | None) -> Kubectl:
    """The user's kubectl, aimed as the user asks.

    Raises:
        ClusterError: there is none, or an argument is empty.
    """
    aim = {"--kubeconfig": kubeconfig, "--context": context, "--namespace": namespace}
    for name, value in aim.items():
        if value is not None and not value.strip():
            raise ClusterError(
                f"{name}: is empty, which kubectl takes for its current one; write a name or leave it out"
            )
    program = shutil.which("kubectl")
    if program is None:
        raise ClusterError("kubectl is not installed, or not on PATH; install it: it is how a cluster is reached")
    arguments = tuple(f"{name}={value}" for name, value in aim.items() if value is not None)
    return Kubectl(program=program, aim=arguments, notify=notify)


def refused(said: str, code: int) -> ClusterError:
    """What kubectl says in its own words, and what to do where that is known."""
    lines = [line.rstrip() for line in said.splitlines() if line.strip() and not line.startswith("Warning:")]
    words = "\n".join(lines) or f"it ended with code {code} and said nothing"
    if _CONFLICT in words:
        words = words[: words.index(_CONFLICT)].rstrip()
        return ClusterError(
            f"kubectl: {words}; others wrote them: write the same values, or leave these fields to them"
        )
    if "(NotFound)" in words:
        return NotFoundError(f"kubectl: {words}")
    if any(known in words for known in _LACKING) and (PLURAL in words or KIND in words):
        return ClusterError(
            f"the cluster has no kind {KIND}: install the operator (its chart: helm/finetune-operator), or write "
            f"--context with the name of a cluster that has it; kubectl: {words}"
        )
    return ClusterError(f"kubectl: {words}")
