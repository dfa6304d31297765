"""The answer of a command at a terminal as an SVG picture.

From the repository's root, with `finetune` on the PATH:

    python docs/pictures.py plan docs/images/plan.svg -- finetune plan examples/quickstart/job.yaml
"""  # noqa: INP001  a script, no package

import fcntl
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

COLUMNS: Final = 110
"""Of the terminal: what a README shows without scrolling."""

USAGE: Final = "usage: python docs/pictures.py NAME FILE.svg -- COMMAND..."

_REMOTE_FONTS: Final = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""Fonts that rich has fetched from elsewhere: a picture in a repository stands alone."""


def main(arguments: list[str]) -> None:
    """Run the command and write the picture; NAME sets its styles apart from those of others on the same page."""
    if len(arguments) < 4 or arguments[2] != "--":
        sys.exit(USAGE)
    name, target, _, *command = arguments
    told = answer(command)
    for place in {str(Path.cwd()), str(Path.home())}:
        if place in told:
            sys.exit(f"{target}: would show {place}; write the command with paths from the repository's root")
    Path(target).write_text(picture(told, shlex.join(command), name), encoding="utf-8")


def answer(command: list[str]) -> str:
    """What the command shows at a terminal of that width, colours included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        told = b""
        while part := _read(ours):
            told += part
    os.close(ours)
    if process.returncode:
        sys.exit(f"{shlex.join(command)} ended with code {process.returncode}:\n{told.decode(errors='replace')}")
    return told.decode().replace("\r\n", "\n")


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65_536)
    except OSError:
        # how Linux says that nobody has the other end open any more
        return b""


def picture(told: str, title: str, name: str) -> str:
    """A terminal's text as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(told.rstrip("\n")))
    svg = _REMOTE_FONTS.sub("", console.export_svg(title=title, unique_id=name))
    # not every viewer keeps the spaces that a line begins with
    return svg.replace("<text ", '<text xml:space="preserve" ')


if __name__ == "__main__":
    main(sys.argv[1:])
