"""Tokenizers, model folders and data configurations that a test changes only where it has to."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from finetune_trainer.data.contents import Conversation, Message, Role
from finetune_trainer.data.examples import Example
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.job_config import (
    ContractConfig,
    DataConfig,
    DataFileConfig,
    JsonContractConfig,
    RowFormat,
    TrainFileConfig,
)

CHATML: Final = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The layout that most models use."""

CONTRACT: Final = JsonContractConfig(
    required=("priority", "reason"), values={"priority": ("high", "low")}, json_schema=None
)
"""Of answers with a priority and a reason."""

SPECIAL: Final = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<pad>")
"""Special tokens of the test vocabulary, with the ids 0 to 4."""

MERGES: Final = (("\u010a", "\u010a"), ("h", "e"), ("t", "he"), ("\u0120", "the"), ("i", "s"), ("\u0120", "is"))
"""Pairs of the byte-level alphabet that are one token; the first is two line ends."""

_ROLES: Final[Mapping[str, Role]] = {"s": "system", "u": "user", "a": "assistant"}


def write_tokenizer(
    folder: Path,
    *,
    template: str | None = CHATML,
    config: Mapping[str, Any] | None = None,
    special: Sequence[str] = SPECIAL,
    merges: Sequence[tuple[str, str]] = MERGES,
    start: str | None = None,
) -> Path:
    """A byte-level tokenizer; with `start`, its post-processor puts that token before a plain text."""
    words = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    tokenizer.add_special_tokens(list(special))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if start is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", special_tokens=[(start, tokenizer.token_to_id(start))]
        )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|im_end|>", "pad_token": "<pad>"} if config is None else config
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Rows as JSON Lines."""
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def make_row(number: int = 1, **changes: Any) -> dict[str, Any]:
    """An Alpaca row that meets the contract, different by number."""
    answer = json.dumps({"priority": "high", "reason": f"outage {number}"})
    return {"instruction": f"Ticket {number}: the shop is down.", "output": answer} | changes


def make_data(rows: Path, evaluation: Path | None = None, **changes: Any) -> DataConfig:
    """Rows of any format without a contract; a key of the contract may be changed like one of the configuration."""
    contract: dict[str, Any] = {
        "answer_json": None,
        "unique_input": False,
        "fail_on_bad_row": False,
        "max_bad_share": 1.0,
    }
    fields: dict[str, Any] = {
        "objective": "SFT",
        "train": (TrainFileConfig(path=str(rows), format=RowFormat.AUTO, weight=1.0),),
        "evaluation": None if evaluation is None else DataFileConfig(path=str(evaluation), format=RowFormat.AUTO),
        "evaluation_fraction": None if evaluation is not None else 0.25,
        "max_length": 512,
        "seed": 42,
    }
    contract |= {k: v for k, v in changes.items() if k in contract}
    fields |= {k: v for k, v in changes.items() if k not in contract}
    return DataConfig(**fields, contract=ContractConfig(**contract))


def make_conversation(roles: str = "ua", learnt_from: int = 0) -> Conversation:
    """Turns by their first letters: "sua" is system, user, assistant; contents are told apart by their numbers."""
    messages = tuple(Message(_ROLES[r], f"{_ROLES[r]} says {i}") for i, r in enumerate(roles))
    return Conversation(messages, learnt_from)


def text_of(tokenizer: TextTokenizer, ids: Iterable[int]) -> str:
    """What ids stand for, special tokens included."""
    return str(tokenizer.tokenizer.decode(list(ids), skip_special_tokens=False))


def learnt_text(tokenizer: TextTokenizer, example: Example) -> str:
    """The text that the loss is on."""
    return text_of(tokenizer, (i for i, m in zip(example.input_ids, example.answer_mask, strict=True) if m))
