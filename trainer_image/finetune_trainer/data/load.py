"""Files to examples: read, checked row by row, split, counted. No torch here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from finetune_trainer.data.contract import Duplicates
from finetune_trainer.data.examples import Example
from finetune_trainer.data.files import files_of
from finetune_trainer.data.rows import BadRowsError, Check, RowFile, go_on, load_file, refuse_all
from finetune_trainer.data.sources import joined, weighted
from finetune_trainer.data.split import hold_out, without_leaks
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.events import DataFacts, RowFault, TokenLengths
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.files import write_json
from finetune_trainer.job_config import ContractConfig, DataConfig, DataFileConfig

F = TypeVar("F", bound=DataFileConfig)

FAULTS_TOLD: Final = 10
"""Faults in an event; all of them are in the data report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedData:
    """Everything that training and evaluation need of the data."""

    train: tuple[Example, ...]
    evaluation: tuple[Example, ...]
    train_facts: DataFacts
    evaluation_facts: DataFacts
    faults: tuple[RowFault, ...]


def load_data(config: DataConfig, tokenizer: TextTokenizer, check: Check = go_on) -> LoadedData:
    """Read, check and split.

    Raises:
        TrainerError: DATA, with file and line, where rows may not be skipped, too many are bad, or none is left; or
            what `check` raises, which is called before each row.
    """
    train, held_out = _load_files(config, tokenizer, check)
    if config.objective == "KTO":
        _check_labels(train, held_out)
    return LoadedData(
        train=tuple(row.example for row in train.rows),
        evaluation=tuple(row.example for row in held_out.rows),
        train_facts=_facts(train),
        evaluation_facts=_facts(held_out),
        faults=train.faults + held_out.faults,
    )


def audit(examples: Sequence[Example], tokenizer: TextTokenizer) -> None:
    """Prove on every example that there is something to learn and that ends are learnt.

    Raises:
        TrainerError: DATA, with file and line.
    """
    for e in examples:
        fault = unlearnable(e, tokenizer)
        if fault is not None:
            raise TrainerError(ExitCode.DATA, f"{e.file}:{e.line}: {fault}")


def hold_vocabulary(examples: Sequence[Example], tokenizer: TextTokenizer, config: Mapping[str, Any]) -> None:
    """Hold the rows' tokens against the table of embeddings: one that was added to the tokenizer alone has none.

    Args:
        examples: all rows.
        tokenizer: that made them.
        config: the model's config.json.

    Raises:
        TrainerError: MODEL, with file, line and token.
    """
    inner = config.get("text_config")
    size = config.get("vocab_size", inner.get("vocab_size") if isinstance(inner, dict) else None)
    if not isinstance(size, int):
        return
    for e in examples:
        token = max(max(ids) for ids, _ in e.sequences)
        if token >= size:
            raise TrainerError(
                ExitCode.MODEL,
                f"{e.file}:{e.line}: has the token {tokenizer.tokenizer.id_to_token(token)} (id {token}), and the "
                f"model has embeddings for {size} tokens; new tokens aren't added in training: resize the embeddings "
                "with transformers and save it, or take the token out of the rows",
            )


def unlearnable(example: Example, tokenizer: TextTokenizer) -> str | None:
    """Why nothing, or no end, can be learnt from an example; None where it can."""
    return next((fault for s in example.sequences if (fault := _endless(*s, tokenizer)) is not None), None)


def _endless(ids: Sequence[int], mask: Sequence[bool], tokenizer: TextTokenizer) -> str | None:
    # nothing precedes the first token that it could be predicted from
    if not any(mask[1:]):
        return "has no token to learn; leave the row out"
    if not mask[-1] or ids[-1] not in tokenizer.stop_token_ids:
        return (
            f"the answer doesn't end with a stop token ({', '.join(tokenizer.stop_texts)}), so that the model wouldn't "
            "learn to stop; add the template's own end mark to eos_token_id in the model's generation_config.json"
        )
    return None


def write_fault_report(path: Path, faults: Sequence[RowFault]) -> None:
    """All faults as JSON."""
    write_json(path, [f.model_dump() for f in faults])


def _load_files(config: DataConfig, tokenizer: TextTokenizer, check: Check) -> tuple[RowFile, RowFile]:
    _refuse_same(config)
    train = [each for source in config.train for each in _each(source)]
    held = _each(config.evaluation) if config.evaluation is not None else []
    label = labels([source.path for source in (*train, *held)])
    # a row of one file is no row of another, either
    seen = Duplicates(unique_input=config.contract.unique_input)
    files = [load_file(source, label[source.path], config, tokenizer, seen, check) for source in train]
    weights = {label[source.path]: source.weight for source in train}
    if held:
        seen = Duplicates(unique_input=config.contract.unique_input)
        held_out = joined([load_file(source, label[source.path], config, tokenizer, seen, check) for source in held])
        files = [without_leaks(file, held_out) for file in files]
        for file in (*files, held_out):
            _refuse_bad(file, config.contract)
        return weighted(joined(files), weights, config.seed), held_out
    for file in files:
        _refuse_bad(file, config.contract)
    # the configuration holds one of the two
    learnt, held_out = hold_out(joined(files), config.evaluation_fraction or 0.0, config.seed)
    return weighted(learnt, weights, config.seed), held_out


def _each(source: F) -> list[F]:
    """The source, or of a folder from the hub one for each of its files."""
    return [source.model_copy(update={"path": path}) for path in files_of(source.path)]


def labels(paths: Sequence[str]) -> dict[str, str]:
    """What faults call the files: their names, where these tell them apart."""
    names = Counter(Path(p).name for p in paths)
    return {p: Path(p).name if names[Path(p).name] == 1 else p for p in paths}


def _refuse_same(config: DataConfig) -> None:
    seen: set[Path] = set()
    for source in config.train:
        path = Path(source.path).resolve()
        if path in seen:
            raise TrainerError(
                ExitCode.DATA, f"{source.path}: is named for training twice; name it once, with the weight of both"
            )
        seen.add(path)
    held_out = config.evaluation
    if held_out is not None and Path(held_out.path).resolve() in seen:
        raise TrainerError(
            ExitCode.DATA,
            f"{held_out.path}: is named for training and for evaluation; name another file, or hold rows of this one "
            "out with evaluation.fraction",
        )


def _refuse_bad(file: RowFile, contract: ContractConfig) -> None:
    bad, total = len(file.faults), len(file.faults) + len(file.rows)
    if not file.rows:
        refuse_all(file.label, file.faults)
    if not bad:
        return
    first = file.faults[0]
    told = f"{first.file}:{first.line}: {first.message} ({bad} of {total} rows are bad)"
    if contract.fail_on_bad_row:
        raise BadRowsError(f"{told}; mend them, or write contract.onBadRow: Skip", file.faults)
    if bad > contract.max_bad_share * total:
        limit = f"contract.maxBadRows allows {contract.max_bad_share:.1%}"
        raise BadRowsError(f"{told}; {limit}; mend them, or allow more", file.faults)


def _check_labels(train: RowFile, held_out: RowFile) -> None:
    for file, needed in ((train, (True, False)), (held_out, (True,))):
        for label in needed:
            if not any(row.example.wanted is label for row in file.rows):
                use = "trained on" if file is train else "held out"
                raise TrainerError(
                    ExitCode.DATA,
                    f"{file.label}: none of the {len(file.rows)} rows {use} has label: {str(label).lower()}; KTO needs "
                    "wanted answers and unwanted ones, so add some",
                )


def _facts(file: RowFile) -> DataFacts:
    examples = [row.example for row in file.rows]
    lengths = sorted(max(len(ids) for ids, _ in e.sequences) for e in examples)
    return DataFacts(
        format=file.format,
        rows=len(lengths),
        skipped=len(file.faults),
        faults=file.faults[:FAULTS_TOLD],
        fault_count=len(file.faults),
        lengths=TokenLengths(
            p50=lengths[len(lengths) // 2],
            p95=lengths[min(len(lengths) - 1, int(0.95 * len(lengths)))],
            max=lengths[-1],
            total=sum(len(ids) for e in examples for ids, _ in e.sequences),
            answer_total=sum(sum(mask) for e in examples for _, mask in e.sequences),
        ),
    )
