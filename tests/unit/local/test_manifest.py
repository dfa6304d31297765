"""A job's file: what is read, and what a person is told of a file that can't be."""

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_operator.api.spec import Method
from finetune_operator.exceptions import InvalidManifestError
from finetune_operator.local.manifest import HEAD, read_job, read_local_job
from tests.support.golden import check_golden

DATA: Final = Path(__file__).parents[2] / "data" / "manifests"
EXAMPLES: Final = Path(__file__).parents[3] / "examples"

JOB: Final = """\
apiVersion: finetune-operator.dev/v1alpha1
kind: FineTuneJob
metadata:
  name: tickets
spec:
  model:
    source:
      path: model
  dataset:
    train:
      source: {path: train.jsonl}
    evaluation: {fraction: "0.1"}
  training:
    learningRate: "2e-4"
  output: {path: out}
"""

JSON_JOB: Final = """\
{
\t"apiVersion": "finetune-operator.dev/v1alpha1", "kind": "FineTuneJob",
\t"metadata": {"name": "tickets"},
\t"spec": {
\t\t"model": {"source": {"path": "\\ud83d\\ude00\\/a\\tb"}},
\t\t"dataset": {"train": {"source": {"path": "t.jsonl"}}, "evaluation": {"fraction": "0.1"}},
\t\t"output": {"path": "out"}
\t}
}
"""


def write(folder: Path, text: str | bytes, name: str = "job.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path: Path) -> str:
    """What is said of the file, with its folder taken away."""
    with pytest.raises(InvalidManifestError) as caught:
        read_job(path)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_a_job_is_read(tmp_path: Path) -> None:
    job = read_job(write(tmp_path, JOB))
    assert job.metadata.name == "tickets"
    assert job.spec.training.learning_rate == "2e-4"
    assert job.spec.method is None


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["bare", "byte-order-mark"])
def test_json_is_read_with_tabs_and_its_own_escapes(tmp_path: Path, mark: str) -> None:
    job = read_job(write(tmp_path, mark + JSON_JOB, "job.json"))
    assert job.spec.model.source.path == "\U0001f600/a\tb"


@pytest.mark.parametrize(
    "text", ["\ufeff" + JOB, "---\n" + JOB, JOB + "---\n", JOB.replace("\n", "\r\n"), "# a\n" + JOB]
)
def test_marks_that_mean_nothing_are_no_faults(tmp_path: Path, text: str) -> None:
    assert read_job(write(tmp_path, text)).metadata.name == "tickets"


def test_words_of_enums_are_read_as_they_are_spelled(tmp_path: Path) -> None:
    assert read_job(write(tmp_path, JOB + "  method: LoRA\n")).spec.method is Method.LORA


def test_an_absent_choice_may_be_written_as_null(tmp_path: Path) -> None:
    assert read_job(write(tmp_path, JOB + "  method: null\n  hardware: {nodes: ~}\n")).spec.method is None


def test_everything_that_is_wrong_is_told_at_once_in_the_files_order() -> None:
    check_golden("manifests/every-fault.txt", refusal(DATA / "every-fault.yaml") + "\n")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param(
            '"2e-4"', "2e-4", 'job.yaml:14: spec.training.learningRate: 2e-4 is a float; write it as a string: "2e-4"',
            id="exponent-that-PyYAML-takes-for-text",
        ),
        pytest.param(
            '"2e-4"', "0.0002",
            'job.yaml:14: spec.training.learningRate: 0.0002 is a float; write it as a string: "0.0002"',
            id="float",
        ),
        pytest.param(
            '"2e-4"', "1", 'job.yaml:14: spec.training.learningRate: 1 is an integer; write it as a string: "1"',
            id="integer",
        ),
        pytest.param(
            '"2e-4"', ".nan",
            'job.yaml:14: spec.training.learningRate: .nan is a float; write it as a string: ".nan"',
            id="not-a-number",
        ),
        pytest.param(
            'learningRate: "2e-4"', "learning_rate: x",
            "job.yaml:14: spec.training.learning_rate: unknown field; did you mean learningRate?",
            id="snake-case-is-no-other-name",
        ),
        pytest.param(
            "source:\n      path: model", "sources:\n      path: model",
            "job.yaml:6: spec.model.source: is missing; write below it: path, gguf, hub, volume, image\n"
            "job.yaml:7: spec.model.sources: unknown field; did you mean source?",
            id="misspelled-field",
        ),
        pytest.param(
            "  output: {path: out}\n", "", "job.yaml:5: spec.output: is missing; write below it: path, volume",
            id="missing-group",
        ),
        pytest.param(
            "{path: out}", "{}", "job.yaml:15: spec.output: holds none; write exactly one of path, volume",
            id="missing-field",
        ),
        pytest.param(
            "{path: out}", "{path: ''}", "job.yaml:15: spec.output.path: is empty; write a text", id="empty-text"
        ),
        pytest.param(
            "  output: {path: out}\n", "  output: {path: out}\n  method: lora\n",
            "job.yaml:16: spec.method: lora is not allowed; write LoRA (one of Full, LoRA, QLoRA, DoRA)",
            id="case-of-an-enum",
        ),
        pytest.param(
            "  output: {path: out}\n", "  output: {path: out}\n  method: Prefix\n",
            "job.yaml:16: spec.method: Prefix is not allowed; write one of Full, LoRA, QLoRA, DoRA",
            id="unknown-word-of-an-enum",
        ),
        pytest.param(
            "  output: {path: out}\n", "  output: {path: out}\n  objective:\n",
            "job.yaml:16: spec.objective: is empty; write one of SFT, DPO, ORPO, KTO, Reward, GRPO",
            id="empty-enum",
        ),
        pytest.param(
            "name: tickets", "name: my tickets",
            'job.yaml:4: metadata.name: "my tickets" is not made of a-z, 0-9 and - between them; write for example '
            "my-tickets",
            id="name-that-is-no-label",
        ),
        pytest.param(
            "name: tickets", 'name: "a\\nb\\u00a0"',
            r'job.yaml:4: metadata.name: "a\nb\xa0" is not made of a-z, 0-9 and - between them; write for example a-b',
            id="invisible-characters",
        ),
        pytest.param(
            "name: tickets", "namespace: a", "job.yaml:3: metadata.name: is missing; write a text", id="no-name"
        ),
        pytest.param(
            "kind: FineTuneJob", "kind: FinetuneJob", f"job.yaml:2: kind: FinetuneJob is not FineTuneJob; {HEAD}",
            id="kind-of-another-project",
        ),
        pytest.param(
            "/v1alpha1", "/v1",
            f"job.yaml:1: apiVersion: finetune-operator.dev/v1 is not finetune-operator.dev/v1alpha1; {HEAD}",
            id="another-version",
        ),
        pytest.param(
            "kind: FineTuneJob\n", "", "job.yaml:1: kind: is missing; write FineTuneJob", id="no-kind"
        ),
        pytest.param(
            "path: train.jsonl", "path: train.jsonl, path: b",
            "job.yaml:11: spec.dataset.train.source.path: is written twice, first in line 11; remove one",
            id="key-twice",
        ),
        pytest.param(
            "    evaluation", "\tevaluation", "job.yaml:12: holds a tab; indent and separate with spaces", id="tab"
        ),
        pytest.param(
            "    evaluation", "   evaluation",
            "job.yaml:12: doesn't line up with the lines above it; indent it like its neighbours",
            id="indentation",
        ),
        pytest.param(
            "path: model", "path: model: a",
            "job.yaml:8: has a colon where none can be; indent the line like its neighbours, or put its value in "
            "quotes",
            id="colon",
        ),
        pytest.param(
            '"2e-4"', '"2e-4', "job.yaml:14: opens a quote that is never closed; close it", id="open-quote"
        ),
        pytest.param(
            "{path: out}", "{path: out", "job.yaml:16: is not YAML: expected ',' or '}', but got '<stream end>'",
            id="open-brace",
        ),
        pytest.param("tickets", "\x07", "job.yaml:4: holds the control character U+0007; remove it", id="bell"),
        pytest.param(
            "path: model", '"path": "\\ud83d"',
            "job.yaml:1: holds half of a surrogate pair, which is no character; remove it",
            id="half-a-character",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_line_field_and_remedy(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in JOB
    assert refusal(write(tmp_path, JOB.replace(old, new, 1))) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("", f"job.yaml: is empty; {HEAD}", id="empty"),
        pytest.param("# nothing\n---\n", f"job.yaml: is empty; {HEAD}", id="only-a-comment"),
        pytest.param(JOB + "---\n" + JOB, "job.yaml:17: a second document begins here; write one to a file", id="two"),
        pytest.param("- a\n", f"job.yaml:1: is no job; {HEAD}", id="list"),
        pytest.param("job\n", f"job.yaml:1: is no job; {HEAD}", id="word"),
        pytest.param("nodes: []\n", f"job.yaml:1: is no job; {HEAD}", id="file-of-nodes"),
        pytest.param(b"a: 1\nb: caf\xe9\n", "job.yaml:2: is not UTF-8; save the file as UTF-8", id="latin-1"),
        pytest.param(b"PK\x03\x04", "job.yaml:1: holds the control character U+0003; remove it", id="zip"),
        pytest.param("[" * 400, f"job.yaml: is nested too deeply; {HEAD}", id="deep"),
        pytest.param(
            b"\0" * (2**20 + 1),
            "job.yaml: is larger than 1 MiB, so it is no such file; write the name of a YAML file",
            id="large",
        ),
    ],
)
def test_a_file_that_is_no_job_is_refused_once(tmp_path: Path, text: str | bytes, told: str) -> None:
    assert refusal(write(tmp_path, text)) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param('{"a": 1 "b"}', "job.json:1: is not JSON: Expecting ',' delimiter (column 9)", id="comma"),
        pytest.param(JSON_JOB.replace('"out"', "3"),
                     'job.json:7: spec.output.path: 3 is an integer; write it as a string: "3"', id="type"),
        pytest.param('{"a":' * 1200, f"job.json: is nested too deeply; {HEAD}", id="deep"),
        pytest.param("", f"job.json: is empty; {HEAD}", id="empty"),
    ],
)  # fmt: skip
def test_json_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    assert refusal(write(tmp_path, text, "job.json")) == told


def test_a_folder_is_refused_with_a_file_that_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    assert refusal(folder) == "jobs: is a folder; write the name of a file"
    write(folder, JOB)
    assert refusal(folder) == "jobs: is a folder; write the name of a file, such as jobs/job.yaml"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "jbo.yaml") == "jbo.yaml: there is no such file; check the name"


@pytest.mark.parametrize("name", ["qwen2.5-7b.yaml", "llama-3.3-70b.yaml"])
def test_the_examples_are_jobs(name: str) -> None:
    assert read_job(EXAMPLES / name).spec.model.source.hub is not None


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60))
def test_no_text_ends_in_anything_but_a_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = write(tmp_path_factory.getbasetemp(), text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InvalidManifestError):
        read_job(path)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(JOB)), st.text(st.sampled_from(" \t\n:-[]{}\"'#&*!|>%@,?a1"), max_size=6))
def test_no_slip_of_the_pen_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, at: int, slip: str) -> None:
    path = write(tmp_path_factory.getbasetemp(), JOB[:at] + slip + JOB[at + len(slip) :])
    told = ""
    try:
        read_job(path)
    except InvalidManifestError as e:
        told = str(e)
    assert all(line.startswith(str(path)) for line in told.splitlines())


def test_what_only_a_cluster_has_is_refused_here_with_its_line(tmp_path: Path) -> None:
    text = JOB.replace("{path: train.jsonl}", "{volume: {claimName: data, path: train.jsonl}}") + "  suspend: true\n"
    path = write(tmp_path, text)
    assert read_job(path).spec.suspend
    with pytest.raises(InvalidManifestError) as caught:
        read_local_job(path)
    assert str(caught.value).replace(f"{path.parent}/", "") == (
        "job.yaml:11: spec.dataset.train.source.volume: is in a cluster, and finetune run is not; "
        "write path with a file of this machine, or hub\n"
        "job.yaml:16: spec.suspend: stops a job in a cluster; remove it, and stop finetune run with Ctrl-C"
    )
