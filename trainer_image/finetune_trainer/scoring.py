"""What an answer is worth: shares over all held-out rows. Pure, no torch.

An answer counts as JSON where, white space around it aside, it is one JSON object and nothing else, as strictly as rows
are read: no fence around it, no word before it, no key twice, no NaN.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from finetune_trainer.data import strict_json
from finetune_trainer.evidence import AnswerRow
from finetune_trainer.job_config import JsonContractConfig

MAX_LOSS: Final = 50.0
"""Loss above which perplexity isn't told apart: exp(50) is 5e21."""


def score(answers: Sequence[AnswerRow], contract: JsonContractConfig | None, mean_loss: float) -> dict[str, float]:
    """Metrics by name; without answers, as for plain text, only those of the loss."""
    metrics = {"loss": mean_loss, "perplexity": math.exp(min(mean_loss, MAX_LOSS))}
    if not answers:
        return metrics
    graded = [grade(a, contract) for a in answers]
    return metrics | {name: sum(g[name] for g in graded) / len(graded) for name in graded[0]}


def grade(answer: AnswerRow, contract: JsonContractConfig | None) -> dict[str, bool]:
    """One answer, right or wrong in each respect; one that isn't JSON is wrong in every JSON metric."""
    marks = {"exact-match": answer.output.strip() == answer.reference.strip()}
    if contract is None:
        return marks
    fields = tuple(dict.fromkeys((*contract.required, *contract.values)))
    value, wanted = _object(answer.output), _object(answer.reference)
    if value is None or wanted is None:
        names = ("json-valid", "json-fields", "json-allowed", "json-exact", *(f"field:{f}" for f in fields))
        return marks | dict.fromkeys(names, False) | {"json-valid": value is not None}
    marks["json-valid"] = True
    marks["json-fields"] = all(key in value for key in contract.required)
    marks["json-allowed"] = all(_is_allowed(value, wanted, key, texts) for key, texts in contract.values.items())
    marks["json-exact"] = strict_json.same(value, wanted)
    for field in fields:
        marks[f"field:{field}"] = _same_field(value, wanted, field)
    return marks


def wilson(share: float, rows: int) -> tuple[float, float]:
    """95 % interval of a share of so many rows (Wilson 1927)."""
    if rows == 0:
        return 0.0, 1.0
    z = 1.959964
    centre = share + z * z / (2 * rows)
    spread = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    scale = 1 + z * z / rows
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = strict_json.parse(text.strip())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_allowed(value: Mapping[str, Any], wanted: Mapping[str, Any], key: str, allowed: Sequence[str]) -> bool:
    # a key that the right answer lacks, too, need not be there
    return value[key] in allowed if key in value else key not in wanted


def _same_field(value: Mapping[str, Any], wanted: Mapping[str, Any], field: str) -> bool:
    if field not in value or field not in wanted:
        return field not in value and field not in wanted
    return strict_json.same(value[field], wanted[field])
