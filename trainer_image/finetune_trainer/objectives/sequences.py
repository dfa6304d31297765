"""What goes through the model for each row: its answers, and for KTO one that belongs elsewhere. No torch here."""

from collections.abc import Sequence

from finetune_trainer.data.examples import Example
from finetune_trainer.job_config import Objective

Sequences = Sequence[tuple[Sequence[int], Sequence[bool]]]
"""Ids of whole rows, and where their answers are."""


def mismatched(examples: Sequence[Example], max_length: int) -> Sequences:
    """Each row's prompt with the answer of the next row that has another prompt: what KTO measures drift on.

    Notes:
        The same in every epoch, so that the reference is asked once. What would be longer than a row may be is cut.
    """
    found = []
    for example, other in zip(examples, (examples[i] for i in _elsewhere(examples)), strict=True):
        prompt, answer = example.prompt_ids, other.input_ids[len(other.prompt_ids) :]
        mask = (*[False] * len(prompt), *[True] * len(answer))
        found.append(((*prompt, *answer)[:max_length], mask[:max_length]))
    return found


def _elsewhere(examples: Sequence[Example]) -> list[int]:
    """Of each row the next one, around the end, that has another prompt; the very next where all have the same."""
    rows = len(examples)
    after = [(index + 1) % rows for index in range(rows)]
    if all(e.prompt_ids == examples[0].prompt_ids for e in examples):
        return after
    # from behind, and twice, so that a row with the prompt of the one before it has its own answer by then
    for index in (*reversed(range(rows)), *reversed(range(rows))):
        neighbour = (index + 1) % rows
        if examples[neighbour].prompt_ids == examples[index].prompt_ids:
            after[index] = after[neighbour]
    return after


def laid_out(examples: Sequence[Example], objective: Objective, max_length: int) -> list[tuple[Example, Sequences]]:
    """Every row with all the sequences that go through the model for it: its answers, and for KTO one aside."""
    if objective != "KTO":
        return [(e, e.sequences) for e in examples]
    aside = mismatched(examples, max_length)
    return [(e, (*e.sequences, other)) for e, other in zip(examples, aside, strict=True)]
