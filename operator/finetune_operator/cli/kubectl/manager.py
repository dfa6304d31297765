"""Writing single fields of a job that may be in Git."""

import json
from typing import Any, Final

import yaml
from rich.console import Console
from rich.text import Text

from finetune_operator.local.kubectl import RESOURCE, Kubectl

FIELD_MANAGER: Final = "finetune-cli"
"""Owner of what we write. Not kubectl's own: Flux takes back what managers own whose names begin with kubectl."""


def print_line_to_commit(out: Console, spec: dict[str, Any]) -> None:
    """The same as a part of the manifest, to copy into it."""
    text = yaml.safe_dump({"spec": spec}, sort_keys=False)
    out.print(Text("If the job is in Git, commit this:"))
    out.print(Text("".join(f"  {line}\n" for line in text.splitlines()), end=""), soft_wrap=True)


def write_suspend(kubectl: Kubectl, name: str, *, suspend: bool) -> bool:
    """Hold the job or let it go on; whether that changed anything.

    Raises:
        ClusterError: there is no such job, or the cluster refuses.

    Notes:
        A patch and no apply: an apply that names this field alone would take back an option that we wrote.
    """
    patch = json.dumps({"spec": {"suspend": suspend}})
    said = kubectl.ask("patch", RESOURCE, name, "--type=merge", f"--field-manager={FIELD_MANAGER}", f"--patch={patch}")
    return "(no change)" not in said
