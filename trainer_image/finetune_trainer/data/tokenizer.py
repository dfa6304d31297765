"""The model's tokenizer without torch: inspection and training make the same ids by the same code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from jinja2 import TemplateError
from tokenizers import Tokenizer

from finetune_trainer.data.chat_template import ChatTemplate
from finetune_trainer.exit_codes import ExitCode, TrainerError

SPECIAL: Final = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Tokens with a role, as chat templates know them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTokenizer:
    """Text to token ids, conversations to text."""

    tokenizer: Any
    """Of the library tokenizers, without padding and truncation."""
    chat: ChatTemplate | None
    stop_token_ids: tuple[int, ...]
    """Tokens that end an answer; the first is the one that is written after texts outside a chat template."""
    stop_texts: tuple[str, ...]
    """The same as text."""
    pad_token_id: int
    start_ids: tuple[int, ...]
    """What tokenizer.json's post-processor puts before a plain text, such as Llama's <s>. A chat template writes it
    itself, and so it belongs to texts outside of one only."""
    numbers: dict[int, int] = field(default_factory=dict, repr=False, compare=False)
    """One object a token id, since a large file's rows hold each of them a million times."""
    marks: frozenset[int]
    """Tokens that are cut out of a text before anything else is looked at: what precedes one doesn't change what
    follows it."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The tokenizer of a model folder.

        Raises:
            TrainerError: MODEL, a file is missing or damaged, or no stop token is known.
        """
        tokenizer = _read_tokenizer(folder)
        config = read_json(folder / "tokenizer_config.json")
        special = _special_tokens(folder, config)
        _mark_special(tokenizer, special)
        stops = _stop_ids(folder, tokenizer, special)
        pad = tokenizer.token_to_id(special["pad_token"]) if "pad_token" in special else None
        return cls(
            tokenizer=tokenizer,
            chat=_chat_template(folder, config, special),
            stop_token_ids=stops,
            stop_texts=tuple(str(tokenizer.id_to_token(i)) for i in stops),
            pad_token_id=stops[0] if pad is None else pad,
            start_ids=_start_ids(folder, tokenizer),
            marks=frozenset(tokenizer.get_added_tokens_decoder()),
        )

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text in which special tokens are already written out."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False).ids)


class IdWriter:
    """Token ids of a text that is written piece by piece.

    The ids of the pieces together are those of the whole text, unless a token would reach over the end of a piece:
    there it is cut, since generation begins with what was written before.
    """

    def __init__(self, tokenizer: TextTokenizer, start: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self.ids: list[int] = list(start)
        # the text since the last mark and its ids: all that the next piece's ids depend on
        self._text = ""
        self._known: list[int] = []

    def write(self, piece: str) -> None:
        """Go on with the text."""
        self._text += piece
        encoding = self._encode(self._text)
        known = len(self._known)
        if encoding.ids[:known] != self._known:
            self._text, known = piece, 0
            encoding = self._encode(piece)
        one = self._tokenizer.numbers.setdefault
        self.ids += [one(i, i) for i in encoding.ids[known:]]
        self._keep(encoding)

    def stop(self) -> None:
        """Write the stop token."""
        self.ids.append(self._tokenizer.stop_token_ids[0])
        self._text = self._tokenizer.stop_texts[0]
        self._known = self.ids[-1:]

    def _encode(self, text: str) -> Any:
        return self._tokenizer.tokenizer.encode(text, add_special_tokens=False)

    def _keep(self, encoding: Any) -> None:
        ids = encoding.ids
        last = next((i for i in range(len(ids) - 1, -1, -1) if ids[i] in self._tokenizer.marks), 0)
        self._known = ids[last:]
        if last:
            self._text = self._text[encoding.token_to_chars(last)[0] :]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the model; empty where the file is absent.

    Raises:
        TrainerError: MODEL, the file isn't a JSON object.
    """
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except OSError as e:
        raise TrainerError(ExitCode.MODEL, f"{path}: can't be read: {e.strerror}") from e
    except (ValueError, RecursionError) as e:
        raise TrainerError(ExitCode.MODEL, f"{path}: is not JSON ({e}); download the model again") from e
    if not isinstance(value, dict):
        raise TrainerError(ExitCode.MODEL, f"{path}: is not a JSON object; download the model again")
    return value


def _read_tokenizer(folder: Path) -> Any:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise TrainerError(
            ExitCode.MODEL,
            f"{folder}: has no tokenizer.json; save it with transformers: "
            "AutoTokenizer.from_pretrained(...).save_pretrained(...)",
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as e:  # the library raises nothing more specific
        raise TrainerError(ExitCode.MODEL, f"{path}: is damaged ({e}); download the model again") from e
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _special_tokens(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    # older models keep them in a file of their own, which counts only where the config lists no added tokens
    older = {} if "added_tokens_decoder" in config else read_json(folder / "special_tokens_map.json")
    found = {name: older.get(name) or config.get(name) for name in SPECIAL}
    texts = {name: token.get("content") if isinstance(token, dict) else token for name, token in found.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str) and text}


def _mark_special(tokenizer: Any, special: Mapping[str, str]) -> None:
    # transformers cuts out every special token of the config, also where tokenizer.json has it as an ordinary word
    marked = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    ordinary = {t for t in special.values() if t not in marked and tokenizer.token_to_id(t) is not None}
    tokenizer.add_special_tokens(sorted(ordinary))


def _stop_ids(folder: Path, tokenizer: Any, special: Mapping[str, str]) -> tuple[int, ...]:
    found = [tokenizer.token_to_id(special["eos_token"])] if "eos_token" in special else []
    for name in ("generation_config.json", "config.json"):
        ids = read_json(folder / name).get("eos_token_id")
        found += ids if isinstance(ids, list) else [ids]
    # an ordinary word isn't one, whatever a config says: it couldn't be told from text
    marks = tokenizer.get_added_tokens_decoder()
    known = [i for i in found if i in marks]
    if not known:
        raise TrainerError(
            ExitCode.MODEL,
            f"{folder}: names no stop token that tokenizer.json has; add eos_token to tokenizer_config.json",
        )
    return tuple(dict.fromkeys(known))


def _start_ids(folder: Path, tokenizer: Any) -> tuple[int, ...]:
    try:
        encoding = tokenizer.encode("a", add_special_tokens=True)
    except Exception as e:  # the library raises nothing more specific
        raise TrainerError(
            ExitCode.MODEL, f"{folder}: its tokenizer takes no text ({e}); take a model whose tokenizer does"
        ) from e
    added = encoding.special_tokens_mask
    return tuple(encoding.ids[: added.index(0)]) if 0 in added else ()


def _chat_template(folder: Path, config: Mapping[str, Any], special: Mapping[str, str]) -> ChatTemplate | None:
    path = folder / "chat_template.jinja"
    source = _read_text(path) if path.exists() else _configured_template(folder, config)
    if not source:
        return None
    try:
        return ChatTemplate(source, special)
    except TemplateError as e:
        raise TrainerError(ExitCode.MODEL, f"{folder}: its chat template is damaged ({e}); download it again") from e


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as e:
        raise TrainerError(ExitCode.MODEL, f"{path}: can't be read ({e}); download the model again") from e


def _configured_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    value = config.get("chat_template")
    if isinstance(value, list):
        named = {t.get("name"): t.get("template") for t in value if isinstance(t, dict)}
        value = named.get("default", "")
    if value is None or (isinstance(value, str) and value):
        return value
    raise TrainerError(
        ExitCode.MODEL,
        f"{folder / 'tokenizer_config.json'}: chat_template is neither a template nor a list with one of the name "
        "default; write one, or take the key out",
    )
