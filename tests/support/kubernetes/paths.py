"""Where the programs' sources are, and where what is built from them is kept."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
"""The repository."""

CACHE: Final = ROOT / ".cache" / "kubernetes"
"""One folder for each program, version and source; `make clean` removes it."""

SOURCES: Final = Path(__file__).parent / "programs"
"""Go sources of our own."""
