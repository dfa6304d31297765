"""Tokenised rows, kept by what they were made of, so that a resumed run and other ranks don't make them again.

No torch here. A kept file is complete or absent, and held against its digest before it is believed.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from finetune_trainer.data.examples import Example
from finetune_trainer.data.files import files_of
from finetune_trainer.data.load import LoadedData
from finetune_trainer.events import DataFacts, RowFault
from finetune_trainer.files import sha256_of, write_json
from finetune_trainer.job_config import DataConfig, StrictModel
from finetune_trainer.model_files import DESCRIPTIONS

FOLDER: Final = "tokens"
"""In the state folder, or in the folder that FINETUNE_CACHE names."""

CACHE: Final = "FINETUNE_CACHE"
"""Environment: a folder for what is made once; tokenised rows are then shared between runs."""

LAYOUT: Final = 1
"""Of the kept files."""

WORTH_TELLING: Final = 1.0
"""Seconds saved below which nothing is said."""


class _Kept(StrictModel):
    """Beside the rows, written last."""

    sha256: str
    """Of the file of rows."""
    seconds: float
    """That tokenising took."""
    train_facts: DataFacts
    evaluation_facts: DataFacts
    faults: tuple[RowFault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCache:
    """One set of rows as one tokenizer writes them."""

    folder: Path
    key: str
    own: bool
    """Nobody else writes there: what is left of others is removed."""

    @property
    def _rows(self) -> Path:
        return self.folder / f"{self.key}.arrow"

    @property
    def _note(self) -> Path:
        return self.folder / f"{self.key}.json"

    def read(self, tell: Callable[[str], None]) -> LoadedData | None:
        """The rows, or None where they aren't kept; what is damaged is said, and not believed."""
        if not self._note.is_file():
            return None
        began = time.monotonic()
        try:
            kept = _Kept.model_validate_json(self._note.read_bytes())
            if sha256_of(self._rows) != kept.sha256:
                raise ValueError("its digest is another")  # noqa: TRY301  told like the others
            train, evaluation = _read(self._rows)
        except (OSError, ValidationError, ValueError, KeyError) as e:
            tell(f"the tokenised rows kept in {self._rows.name} are damaged ({_first(e)}); rows are tokenised again")
            return None
        saved = kept.seconds - (time.monotonic() - began)
        if saved >= WORTH_TELLING:
            tell(f"rows are taken as they were tokenised before, which saves {saved:.0f} s")
        return LoadedData(
            train=train,
            evaluation=evaluation,
            train_facts=kept.train_facts,
            evaluation_facts=kept.evaluation_facts,
            faults=kept.faults,
        )

    def keep(self, data: LoadedData, seconds: float) -> None:
        """Write the rows aside, then under their name, then the note that they are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.own:
            for left in self.folder.iterdir():
                left.unlink()
        partial = self.folder / f".{self.key}.{os.getpid()}.partial"
        try:
            _write(partial, data)
            digest = sha256_of(partial)
            partial.replace(self._rows)
        finally:
            partial.unlink(missing_ok=True)
        note = _Kept(
            sha256=digest,
            seconds=seconds,
            train_facts=data.train_facts,
            evaluation_facts=data.evaluation_facts,
            faults=data.faults,
        )
        write_json(self._note, note.model_dump(mode="json"))


def open_cache(
    config: DataConfig, model: Path, state: Path, environment: Mapping[str, str] = os.environ
) -> TokenCache | None:
    """The place of these rows; None where a file can't be read, of which reading the rows tells more."""
    shared = environment.get(CACHE)
    try:
        key = _key(config, model)
    except OSError:
        return None
    return TokenCache(folder=Path(shared or state) / FOLDER, key=key, own=not shared)


def kept_or_made(cache: TokenCache | None, make: Callable[[], LoadedData], tell: Callable[[str], None]) -> LoadedData:
    """The kept rows, or new ones, which are kept."""
    found = cache.read(tell) if cache is not None else None
    if found is not None:
        return found
    began = time.monotonic()
    made = make()
    if cache is not None:
        # a full disk costs the cache and not the run
        with suppress(OSError):
            cache.keep(made, time.monotonic() - began)
    return made


def _key(config: DataConfig, model: Path) -> str:
    """Changes with any row, any setting that they are read by, and anything that decides their ids."""
    made_of = {
        "layout": LAYOUT,
        "code": [sha256_of(p) for p in sorted(Path(__file__).parent.glob("*.py"))],
        "config": config.model_dump(mode="json"),
        "rows": {p: sha256_of(Path(p)) for s in config.sources for p in files_of(s.path)},
        "model": {n: sha256_of(model / n) for n in DESCRIPTIONS if (model / n).is_file()},
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]


def _write(path: Path, data: LoadedData) -> None:
    import pyarrow as pa

    examples = [*data.train, *data.evaluation]
    columns = {
        "held_out": pa.array([False] * len(data.train) + [True] * len(data.evaluation)),
        "file": pa.array([e.file for e in examples]).dictionary_encode(),
        "line": pa.array([e.line for e in examples], pa.int64()),
        "ids": pa.array([e.input_ids for e in examples], pa.list_(pa.int32())),
        "mask": pa.array([e.answer_mask for e in examples], pa.list_(pa.bool_())),
        "prompt": pa.array([e.prompt for e in examples], pa.large_string()),
        "asked": pa.array([len(e.prompt_ids) for e in examples], pa.int32()),
        "reference": pa.array([e.reference for e in examples], pa.large_string()),
        "rejected": pa.array([e.rejected_ids for e in examples], pa.list_(pa.int32())),
        "rejected_mask": pa.array([e.rejected_mask for e in examples], pa.list_(pa.bool_())),
        "wanted": pa.array([e.wanted for e in examples]),
    }
    table = pa.table(columns)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _read(path: Path) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
            rows = zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)
            numbers: dict[int, int] = {}
            made = [(row[0], _example(row, numbers)) for row in rows]
    except pa.ArrowException as e:
        raise ValueError(str(e)) from e
    return tuple(e for held, e in made if not held), tuple(e for held, e in made if held)


def _example(row: tuple[Any, ...], numbers: dict[int, int]) -> Example:
    _, file, line, ids, mask, prompt, asked, reference, rejected, rejected_mask, wanted = row
    input_ids = _interned(ids, numbers)
    return Example(
        file=file,
        line=line,
        input_ids=input_ids,
        answer_mask=tuple(mask),
        prompt=prompt,
        # a prompt is how its row begins
        prompt_ids=input_ids[:asked],
        reference=reference,
        rejected_ids=_interned(rejected, numbers),
        rejected_mask=tuple(rejected_mask),
        wanted=wanted,
    )


def _interned(ids: Iterable[int], numbers: dict[int, int]) -> tuple[int, ...]:
    """One object a token id, as a tokenizer makes them."""
    one = numbers.setdefault
    return tuple(one(i, i) for i in ids)


def _first(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
