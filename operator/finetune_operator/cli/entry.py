"""Where the program starts: nothing is imported yet, so that what is wrong around it is put right first."""

import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Run the program and end the process with its code."""
    # until everything is imported, Ctrl-C ends it as it ends any program, without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_streams()
    # looking for plug-ins of pydantic, which we have none of, takes longer than making a plan
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    from finetune_operator.cli.main import invoke, program_name

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(invoke(sys.argv[1:], program_name(sys.argv[0])))


def _open_streams() -> None:
    """Give closed streams (>&-) somewhere to go, and write what a terminal's alphabet lacks as question marks."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  open until we end
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
