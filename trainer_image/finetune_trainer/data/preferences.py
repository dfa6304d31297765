"""Rows with two answers of which one is preferred."""

from collections.abc import Mapping
from typing import Any, Final

from finetune_trainer.data import strict_json
from finetune_trainer.data.contents import Completion, Conversation, Message, Preference, RowError
from finetune_trainer.data.conversations import check_order, checked_text, read_turns

SIDES: Final = ("chosen", "rejected")
"""Keys of the two answers."""


def read_preference(value: Mapping[str, Any]) -> Preference:
    """Prompt, chosen and rejected as strings or as messages; with whole conversations the prompt may be absent.

    Raises:
        RowError: a part is missing or malformed, or the two answers are the same, or answer different prompts.
    """
    for key in SIDES:
        if key not in value:
            raise RowError(f"{key} is missing; write prompt, chosen and rejected")
    lists = [isinstance(value[key], list) for key in SIDES]
    if any(lists) and not all(lists):
        raise RowError("has a list and a string as chosen and rejected; write both as strings or both as messages")
    chosen, rejected = (_conversation(value, key) if all(lists) else _completion(value, key) for key in SIDES)
    if chosen == rejected:
        raise RowError("chosen and rejected are the same; remove the row")
    return Preference(chosen, rejected)


def _completion(value: Mapping[str, Any], key: str) -> Completion:
    if value.get("prompt") is None:
        raise RowError("prompt is missing; write it beside chosen and rejected")
    if isinstance(value["prompt"], list):
        raise RowError(f"has a list as prompt and a string as {key}; write both as strings or both as messages")
    return Completion(checked_text(value["prompt"], "prompt"), checked_text(value[key], key))


def _conversation(value: Mapping[str, Any], key: str) -> Conversation:
    answer = read_turns(value[key], key)
    prompt = value.get("prompt")
    if isinstance(prompt, list):
        return _with_prompt(read_turns(prompt, "prompt"), answer)
    if prompt is not None and not isinstance(prompt, str):
        raise RowError(f"prompt is {strict_json.kind(prompt)}; write it as a string or as messages")
    if answer[0].role == "assistant":
        if prompt is None:
            raise RowError(f"{key} begins with an answer and there is no prompt; write it beside them")
        return _with_prompt((Message("user", checked_text(prompt, "prompt")),), answer)
    # a whole conversation; a prompt beside it is its first question once more
    check_order(answer)
    if _before(value["chosen"]) != _before(value["rejected"]):
        raise RowError("chosen and rejected answer different conversations; only their last turns may differ")
    return Conversation(answer, learnt_from=len(answer) - 1)


def _with_prompt(prompt: tuple[Message, ...], answer: tuple[Message, ...]) -> Conversation:
    check_order((*prompt, *answer))
    if prompt[-1].role == "assistant":
        raise RowError("prompt ends with a turn of the assistant; end it with one of the user")
    return Conversation((*prompt, *answer), learnt_from=len(prompt))


def _before(turns: Any) -> Any:
    return turns[:-1]
