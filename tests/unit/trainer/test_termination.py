import json
from pathlib import Path

import pytest

from finetune_operator.planner.architecture import read_architecture
from finetune_operator.planner.catalogue import CATALOGUE
from finetune_trainer.events import FailureEvent, InspectionFacts, ResultEvent, parse_event
from finetune_trainer.progress import emit
from finetune_trainer.termination import MAX_BYTES, TERMINATION, brief_config, last_word
from tests.support.trainer_builders import make_facts, make_fault, make_shape, make_step

FAULTS = tuple(make_fault(line, "ü" * 300) for line in range(10))


def make_inspection(config: str, faults: int = 10) -> InspectionFacts:
    facts = make_facts(faults=FAULTS[:faults], fault_count=faults)
    return InspectionFacts(
        model_config_json=config, weight_bytes=10**12, train=facts, evaluation=facts, evaluated=make_shape()
    )


def make_result(sentence: str = "x", metrics: int = 1) -> ResultEvent:
    measured = {f"field:{n}": 0.5 for n in range(metrics)}
    return ResultEvent(
        decision="Keep", because=sentence, next_step=sentence, rows=8, baseline=measured, tuned=measured,
        memory_predicted=1, memory_measured=1, output="/out", output_bytes=1, digest="sha256:0", report="/report.md",
    )  # fmt: skip


@pytest.mark.parametrize("model", sorted(CATALOGUE))
def test_a_model_is_sized_by_its_last_word_as_by_its_config(model: str) -> None:
    config = dict(CATALOGUE[model]) | {"id2label": {str(n): f"label {n}" for n in range(2000)}}
    text = last_word(make_inspection(json.dumps(config)))
    assert text is not None
    assert len(text.encode()) <= MAX_BYTES
    told = parse_event(text)
    assert isinstance(told, InspectionFacts)
    assert read_architecture(json.loads(told.model_config_json)) == read_architecture(config)


def test_as_many_faults_are_told_as_fit() -> None:
    told = parse_event(last_word(make_inspection("{}")) or "")
    assert isinstance(told, InspectionFacts)
    assert 0 < len(told.train.faults) < 10
    assert told.train.fault_count == 10
    few = make_inspection("{}", faults=1)
    assert parse_event(last_word(few) or "") == few


def test_of_nested_settings_it_is_kept_that_they_are_there() -> None:
    quantised = {"quant_method": "fp8", "modules_to_not_convert": ["lm_head"] * 1000}
    config = {
        "vision_config": {"depth": 3},
        "quantization_config": quantised,
        "a": "x" * 5000,
        "layers": ["y", [["z"], 2], {"a": 1}],
    }
    assert json.loads(brief_config(json.dumps(config))) == {
        "vision_config": {},
        "quantization_config": {"quant_method": "fp8"},
        "a": "x" * 100,
        "layers": ["y", [["z"], 2], {}],
    }


def test_a_config_that_doesnt_fit_is_not_told_in_part() -> None:
    assert last_word(make_inspection(json.dumps({"layers": ["sliding_attention"] * 500}))) is None


def test_a_long_sentence_is_cut() -> None:
    told = parse_event(last_word(FailureEvent(code=11, message="優" * 5000)) or "")
    assert isinstance(told, FailureEvent)
    assert told.message.endswith("優 …")
    assert len(told.message) > 1000
    result = parse_event(last_word(make_result("y" * 5000)) or "")
    assert isinstance(result, ResultEvent)
    assert result.because == "y" * 600 + " …"


def test_of_a_result_the_metrics_of_single_fields_are_left_out_first_and_sentences_next() -> None:
    whole = make_result("優" * 500, metrics=500)
    measured = {"json-exact": 0.98, "perplexity": 2.1, **whole.tuned}
    text = last_word(whole.model_copy(update={"baseline": measured, "tuned": measured}))
    assert text is not None
    told = parse_event(text)
    assert isinstance(told, ResultEvent)
    assert {"json-exact", "perplexity"} <= set(told.tuned) == set(told.baseline)
    assert 10 < len(told.tuned) < 502
    assert told.because == whole.because
    assert (told.output, told.digest, told.decision) == (whole.output, whole.digest, whole.decision)


def test_the_metric_that_decided_is_never_left_out() -> None:
    whole = make_result("x", metrics=900)
    decided = whole.model_copy(update={"because": "field:899 went from 0.0% to 96.7%"})
    told = parse_event(last_word(decided) or "")
    assert isinstance(told, ResultEvent)
    assert "field:899" in told.tuned
    assert "field:898" not in told.tuned


def test_a_result_with_long_names_keeps_its_metrics_and_shortens_what_is_said() -> None:
    measured = {f"{n}-{'m' * 120}": 0.5 for n in range(8)}
    whole = make_result("優" * 600).model_copy(update={"baseline": measured, "tuned": measured})
    told = parse_event(last_word(whole) or "")
    assert isinstance(told, ResultEvent)
    assert told.tuned == measured
    assert 0 < len(told.because) < 600


def test_what_ends_nothing_and_what_doesnt_fit_is_no_last_word() -> None:
    assert last_word(make_step()) is None
    assert last_word(make_result().model_copy(update={"output": "/o" * 3000})) is None


def test_the_first_last_word_is_left_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "termination-log"
    place.touch()
    emit(make_result())
    assert not place.read_text(encoding="utf-8")
    monkeypatch.setenv(TERMINATION, str(place))
    emit(make_step())
    emit(make_result())
    emit(FailureEvent(code=70, message="while it ended"))
    assert parse_event(place.read_text(encoding="utf-8")) == make_result()


def test_a_word_that_cant_be_left_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TERMINATION, str(tmp_path / "nowhere" / "file"))
    emit(make_result())
