"""YAML and JSON files of people: read strictly, with the line of every value."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from yaml import AliasEvent, MappingNode, MarkedYAMLError, Node, ScalarNode, SequenceNode
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from finetune_operator.api.base import Place
from finetune_operator.exceptions import InvalidManifestError
from finetune_operator.local.document import Document, Fault, refusal

MAX_BYTES: Final = 1024**2
"""Largest file that is read: a model or a dataset named by mistake must not fill the memory."""

SUFFIXES: Final = (".yaml", ".yml", ".json")
"""Suffixes of the files that are meant."""

_MOST_DIGITS: Final = 4300
"""Python reads no longer integer from text."""

_NULL: Final = re.compile(r"~|null|Null|NULL|")
_BOOL: Final = re.compile(r"(yes|true|on)|no|false|off", re.IGNORECASE)
_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def read_document(path: Path, head: str) -> Document:
    """The only document of a file.

    Args:
        path: of the file.
        head: how such a file begins, as a half sentence; told where nothing is in it.

    Raises:
        InvalidManifestError: it can't be read, isn't YAML or JSON, is empty, or holds several documents.
    """
    return parse_document(str(path), _read_text(path), head)


def parse_document(name: str, text: str, head: str) -> Document:
    """The only document of a text that was read already; by its name it is JSON or YAML.

    Raises:
        InvalidManifestError: it isn't YAML or JSON, is empty, or holds several documents.
    """
    try:
        if name.endswith(".json"):
            text = _without_tabs(name, text)
        loader = _compose(name, text)
        documents = [d for d in loader.documents if not _is_empty(d)]
        if not documents:
            raise InvalidManifestError(f"{name}: is empty; {head}")
        if len(documents) > 1:
            sentence = "a second document begins here; write one to a file"
            raise refusal(name, [Fault(line=_line(documents[1]), place=(), sentence=sentence)])
        return _Builder(documents[0], loader.faults).document(name)
    except RecursionError as e:
        raise InvalidManifestError(f"{name}: is nested too deeply; {head}") from e


def _read_text(path: Path) -> str:
    try:
        if path.is_dir():
            inside = sorted(p.name for p in path.iterdir() if p.suffix in SUFFIXES)
            hint = f", such as {path / inside[0]}" if inside else ""
            raise InvalidManifestError(f"{path}: is a folder; write the name of a file{hint}")
        if path.is_fifo() and path.parts[:2] != ("/", "dev"):
            # nobody may ever write into it; /dev/stdin has a writer
            raise InvalidManifestError(f"{path}: is a pipe; write the name of a file, or /dev/stdin")
        with path.open("rb") as f:
            content = f.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InvalidManifestError(f"{path}: there is no such file; check the name") from None
    except OSError as e:
        raise InvalidManifestError(f"{path}: can't be read: {e.strerror}") from e
    except ValueError as e:
        raise InvalidManifestError(f"{str(path)!r}: is no name of a file: {e}") from e
    if len(content) > MAX_BYTES:
        raise InvalidManifestError(
            f"{path}: is larger than 1 MiB, so it is no such file; write the name of a YAML file"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = content[: e.start].count(b"\n") + 1
        raise refusal(str(path), [Fault(line=line, place=(), sentence="is not UTF-8; save the file as UTF-8")]) from e


def _without_tabs(name: str, text: str) -> str:
    """JSON that YAML's rules can read: outside of strings, where they can't be, tabs are white space."""
    try:
        json.loads(text)
    except json.JSONDecodeError as e:
        if text.strip():
            sentence = f"is not JSON: {e.msg} (column {e.colno})"
            raise refusal(name, [Fault(line=e.lineno, place=(), sentence=sentence)]) from e
    return text.replace("\t", " ")


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """Composes nodes; aliases and tags are faults, since what they stand for is elsewhere."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self.faults: list[Fault] = []
        self.documents: list[Node] = []

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave the parser's methods bare
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]  # likewise
            sentence = f"*{event.anchor} is an alias; write the value itself"
            self.faults.append(Fault(line=line, place=(), sentence=sentence))
            mark: Any = event.start_mark
            return ScalarNode("", "", mark, mark)
        if (tag := getattr(event, "tag", None)) is not None:
            self.faults.append(Fault(line=line, place=(), sentence=f"the tag {tag} has no meaning here; remove it"))
        return super().compose_node(parent, index)


def _compose(name: str, text: str) -> _Loader:
    try:
        loader = _Loader(text)
        while loader.check_node():
            if (node := loader.get_node()) is not None:
                loader.documents.append(node)
    except MarkedYAMLError as e:
        raise refusal(name, [_syntax_fault(e, text)]) from e
    except ReaderError as e:
        line = text[: e.position].count("\n") + 1
        sentence = f"holds the control character U+{ord(text[e.position]):04X}; remove it"
        raise refusal(name, [Fault(line=line, place=(), sentence=sentence)]) from e
    return loader


def _syntax_fault(error: MarkedYAMLError, text: str) -> Fault:
    problem = error.problem or "it can't be understood"
    unclosed = "unexpected end of stream" in problem
    # an open quote is found at the end of the file, and is to be mended where it began
    mark = error.context_mark if unclosed else error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    if any("\t" in written for written in text.splitlines()[line - 1 : line]):
        sentence = "holds a tab; indent and separate with spaces"
    elif unclosed:
        sentence = "opens a quote that is never closed; close it"
    elif "mapping values are not allowed" in problem:
        sentence = "has a colon where none can be; indent the line like its neighbours, or put its value in quotes"
    elif "expected <block end>" in problem:
        sentence = "doesn't line up with the lines above it; indent it like its neighbours"
    else:
        sentence = f"is not YAML: {problem}"
    return Fault(line=line, place=(), sentence=sentence)


def _is_empty(node: Node) -> bool:
    return _is_plain(node) and not node.value


def _is_plain(node: Node) -> bool:
    """A scalar without quotes."""
    return isinstance(node, ScalarNode) and node.style is None


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


class _Builder:
    """Plain values out of nodes."""

    def __init__(self, root: Node, faults: Iterable[Fault]) -> None:
        self._root = root
        self._faults = list(faults)
        self._lines: dict[Place, int] = {(): _line(root)}
        self._texts: dict[Place, str] = {}

    def document(self, name: str) -> Document:
        value = self._value(self._root, ())
        return Document(name=name, value=value, lines=self._lines, texts=self._texts, faults=tuple(self._faults))

    def _value(self, node: Node, place: Place) -> Any:
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        if isinstance(node, SequenceNode):
            return [self._entry(child, (*place, index)) for index, child in enumerate(node.value)]
        self._texts[place] = node.value
        return _plain_value(node.value) if _is_plain(node) else node.value

    def _entry(self, node: Node, place: Place) -> Any:
        self._lines[place] = _line(node)
        return self._value(node, place)

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = self._key(key_node, place), _line(key_node)
            if key is None:
                continue
            if key in found:
                first = self._lines[(*place, key)]
                sentence = f"is written twice, first in line {first}; remove one"
                self._faults.append(Fault(line=line, place=(*place, key), sentence=sentence))
                continue
            self._lines[(*place, key)] = line
            found[key] = self._value(value_node, (*place, key))
        return found

    def _key(self, node: Node, place: Place) -> str | None:
        if isinstance(node, ScalarNode) and (not _is_plain(node) or isinstance(_plain_value(node.value), str)):
            return str(node.value)
        written = f'; write "{node.value}"' if isinstance(node, ScalarNode) and node.value else ""
        sentence = f"has a key that is not text{written}"
        self._faults.append(Fault(line=_line(node), place=place, sentence=sentence))
        return None


def _plain_value(text: str) -> str | int | float | bool | None:
    """What a scalar without quotes means to Kubernetes' tools; PyYAML itself takes 2e-4 for text and 017 for 15."""
    if _NULL.fullmatch(text):
        return None
    if match := _BOOL.fullmatch(text):
        return match[1] is not None
    if _INT.fullmatch(text) and len(text) <= _MOST_DIGITS:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
