"""Markdown that shows any text as it is, whatever is in it."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

_ACTIVE: Final = re.compile(r"[\\`*\[\]<>|~$&#]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown, its tables, its mathematics or HTML would read as something else than itself; an underscore inside a
word is one to all of them."""

NONE: Final = "-"
"""Stands where there is no figure."""

_SPACES: Final = re.compile(r"[ \t]+")

_JOINERS: Final = "\u200c\u200d"
"""Invisible, but Persian and Hindi words and many emoji fall apart without them."""

_LINE_END: Final = " ⏎ "


def escape(text: str) -> str:
    """Text on one line, in which nothing is markup."""
    return _ACTIVE.sub(lambda m: f"&#{ord(m[0])};", visible(text))


def visible(text: str) -> str:
    """Text on one line, with what can't be seen made visible."""
    lines = re.split(r"\r\n|[\n\r\v\f\x85\u2028\u2029]", text)
    joined = _LINE_END.join(_SPACES.sub(" ", line).strip() for line in lines)
    return "".join(_shown(c) for c in joined).strip()


def cell(text: str, limit: int) -> str:
    """Any text for a table: escaped, cut where it is longer than so many characters."""
    if not text:
        return "*empty*"
    if not text.strip():
        return f"*{len(text):,} blank characters*"
    rest = f" … *({len(text) - limit:,} more characters)*" if len(text) > limit else ""
    return escape(text[:limit]) + rest


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts that are Markdown already; columns whose heading starts with ">" are set to the right."""
    rules = ["---:" if h.startswith(">") else "---" for h in header]
    lines = [[h.removeprefix(">") for h in header], rules, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: str, language: str = "") -> str:
    """A block of code, in a fence that the code can't close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _shown(character: str) -> str:
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character not in _JOINERS
    return f"⟨U+{ord(character):04X}⟩" if hidden else character
