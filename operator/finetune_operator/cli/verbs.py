"""A program of several verbs that imports the one that is asked for and no other."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click
from typing_extensions import override


class Verbs(click.Group):
    """A plan needn't wait for what shows reports."""

    def __init__(self, *arguments: Any, package: str, verbs: Sequence[str], **keywords: Any) -> None:
        """Read the verbs of a package, each in a module of its name that holds NAME_command.

        Args:
            arguments: as click's.
            package: where the modules are.
            verbs: in the order of a job's way.
            keywords: as click's.
        """
        super().__init__(*arguments, **keywords)
        self._package = package
        self._verbs = verbs

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._verbs)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._verbs:
            return None
        command: click.Command = getattr(import_module(f"{self._package}.{cmd_name}"), f"{cmd_name}_command")
        return command
