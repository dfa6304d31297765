"""The argument that names a job, and how the other verbs find its output folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from finetune_operator.local.manifest import read_local_job
from finetune_operator.local.road import output_folder


def job_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """The job file; whether it can be read is said by its reader, in one voice with all that is in it."""
    return click.argument("job", type=click.Path(path_type=Path))(command)


def folder_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """A job file or an output folder."""
    return click.argument("job", metavar="JOB|FOLDER", type=click.Path(path_type=Path))(command)


def find_output(place: Path) -> Path:
    """The output folder that a user means by a job file or by the folder itself.

    Raises:
        FineTuneError: the job can't be read.
    """
    return place if place.is_dir() else output_folder(read_local_job(place), place.parent)
