"""Whole outputs held against files; `make golden` writes them anew, and the difference is read in review."""

import os
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "data" / "golden"
"""Where the files are."""

UPDATE: Final = "UPDATE_GOLDEN"
"""Environment: with "1" the files are written."""


def check_golden(name: str, text: str) -> None:
    """Hold a text against its golden file."""
    path = FOLDER / name
    if os.environ.get(UPDATE) == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path} is missing; make golden writes it"
    assert text == path.read_text(encoding="utf-8")
