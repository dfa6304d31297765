"""A JSON schema of answers; the library is loaded only where a job has one."""

from typing import Any, Final

from finetune_trainer.data.contents import RowError
from finetune_trainer.exit_codes import ExitCode, TrainerError

PLACE: Final = "dataset.contract.output.json.schema"
"""What a user has written it under."""

SHOWN: Final = 200
"""Characters of a fault that a sentence shows: the library's own would hold the whole answer."""


class AnswerSchema:
    """One schema, compiled once. Nothing is ever fetched for it."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Compile.

        Raises:
            TrainerError: CONFIGURATION, it is no JSON schema, or refers to another document.
        """
        from jsonschema import Draft202012Validator, SchemaError
        from jsonschema.validators import validator_for
        from referencing import Registry

        kind = validator_for(schema, default=Draft202012Validator)
        try:
            kind.check_schema(schema)
        except SchemaError as e:
            raise TrainerError(
                ExitCode.CONFIGURATION, f"{PLACE}: is no JSON schema: {e.message[:SHOWN]} at {_path(e)}"
            ) from e
        self._validator: Any = kind(schema, registry=Registry())

    def check(self, value: dict[str, Any]) -> None:
        """Hold an answer against the schema.

        Raises:
            RowError: it doesn't meet it; the first fault by place.
            TrainerError: CONFIGURATION, the schema refers to what isn't in it.
        """
        from referencing.exceptions import Unresolvable

        try:
            faults = sorted(self._validator.iter_errors(value), key=lambda e: [str(p) for p in e.absolute_path])
        except Unresolvable as e:
            raise TrainerError(
                ExitCode.CONFIGURATION, f"{PLACE}: refers to {e.ref}, which isn't in it; write it under $defs"
            ) from e
        if faults:
            first = faults[0]
            raise RowError(f"the answer doesn't meet the schema at {_path(first)}: {first.message[:SHOWN]}")


def _path(error: Any) -> str:
    return (
        "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path).removeprefix(".") or "its top"
    )
