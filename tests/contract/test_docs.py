"""The documentation says what is there: every field, word, metric and constant, and nothing that isn't."""

import importlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import pytest
import yaml
from pydantic import BaseModel

from finetune_operator.api.conditions import ConditionType, Reason
from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.spec import (
    FIELD_METRIC,
    METRICS,
    Accelerator,
    DataFormat,
    FineTuneJobSpec,
    Method,
    Objective,
    OnBadRow,
    PrecisionChoice,
    Schedule,
)
from finetune_operator.api.status import Checkpointing, Decision, FineTuneJobStatus, Offload
from finetune_operator.cli.kubectl.main import kubectl_finetune
from finetune_operator.cli.main import PLUGIN, finetune
from finetune_operator.lifecycle.phase import _PRECEDENCE, Phase
from finetune_operator.local.manifest import read_job
from finetune_operator.local.nodes_file import NodesFile, read_nodes
from finetune_operator.planner.memory import Peak
from finetune_operator.planner.plan import RejectionReason
from finetune_operator.units import parse_memory
from finetune_trainer.data.formats import format_of, understand
from finetune_trainer.exit_codes import MEANINGS
from finetune_trainer.job_config import RowFormat
from tests.support.plans import make_manifest, make_memory

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    p for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md") for p in ROOT.glob(pattern) if "out" not in p.parts
)
BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN: Final = re.compile(r"`([^`\n]+)`")
LINK: Final = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
TARGET: Final = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
CONSTANTS: Final = (
    "memory",
    "head",
    "setting",
    "activations",
    "recipe",
    "reserved",
    "states",
    "workload",
    "zero",
    "solver",
    "checks",
    "speed",
    "efficiency",
    "links",
)
"""Modules of the planner whose constants docs/memory-model.md and docs/speed-model.md explain."""

Row = Mapping[str, str]


def named(pages: list[Path]) -> list[Any]:
    return [pytest.param(p, id=str(p.relative_to(ROOT))) for p in pages]


def doc(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def rows(text: str, *heading: str) -> list[Row]:
    """Rows of all tables that begin with those headings."""
    found: list[Row] = []
    names: list[str] = []
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split(" | ")] if line.startswith("|") else []
        if not cells:
            names = []
        elif not names:
            names = cells
        elif not line.startswith("|-") and tuple(names[: len(heading)]) == heading:
            found.append(dict(zip(names, cells, strict=False)))
    return found


def word(cell: str) -> str:
    """A cell's first code."""
    spans = SPAN.findall(cell)
    assert spans, f"no code in {cell!r}"
    return str(spans[0])


class Field(NamedTuple):
    required: bool
    default: Any
    words: frozenset[str]
    """What may be written, where that is one of a few words."""


def fields(model: type[BaseModel]) -> dict[str, Field]:
    """Every value that a file may hold, by its place."""
    schema = model.model_json_schema(by_alias=True)

    def resolved(node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in node:
            return resolved(schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
        kinds = [n for n in node.get("anyOf", []) if n.get("type") != "null"]
        return resolved(kinds[0]) if kinds else node

    def walk(node: dict[str, Any], place: str) -> Iterator[tuple[str, Field]]:
        for name, written in node["properties"].items():
            at, below = f"{place}{name}", resolved(written)
            words = frozenset(below.get("enum", [below["const"]] if "const" in below else []))
            own = Field(name in node.get("required", ()), written.get("default"), words)
            if below.get("type") == "array" and "properties" in resolved(below["items"]):
                yield at, own
                yield from walk(resolved(below["items"]), f"{at}[].")
            elif "properties" in below:
                yield from walk(below, f"{at}.")
            else:
                yield at, own

    return dict(walk(schema, ""))


def check_fields(page: str, expected: Mapping[str, Field]) -> None:
    documented = {word(r["Field"]): r for r in rows(doc(page), "Field", "Type", "Default", "Meaning")}
    assert documented.keys() == expected.keys()
    for place, (required, default, words) in expected.items():
        said = documented[place]
        assert words <= set(SPAN.findall(said["Type"])), place
        if required or default is None:
            assert said["Default"] == ("required" if required else "none"), place
        else:
            assert yaml.safe_load(word(said["Default"])) == default, place


def test_every_field_of_a_job_is_documented_with_its_default() -> None:
    check_fields("job.md", {p.removeprefix("spec."): f for p, f in fields(FineTuneJob).items()})


def test_every_field_of_a_nodes_file_is_documented_with_its_default() -> None:
    check_fields("nodes.md", fields(NodesFile))


def test_every_field_of_the_status_is_shown() -> None:
    names = {part for place in fields(FineTuneJobStatus) for part in re.split(r"\W+", place) if part}
    assert {n for n in names if not re.search(rf"\b{n}\b", doc("job.md"))} == set()


@pytest.mark.parametrize(
    ("kind", "page"),
    [
        *((k, "job.md") for k in (Method, Objective, DataFormat, Schedule, PrecisionChoice, Accelerator, OnBadRow)),
        *((k, "job.md") for k in (Decision, RejectionReason)),
        *((k, "memory-model.md") for k in (Offload, Checkpointing)),
        *((k, "conditions.md") for k in (Phase, ConditionType, Reason)),
    ],
)
def test_every_word_of_the_api_is_documented(kind: type[StrEnum], page: str) -> None:
    spans = set(SPAN.findall(BLOCK.sub("", doc(page))))
    assert {str(m) for m in kind} - spans == set()


def test_exactly_the_metrics_are_documented() -> None:
    documented = [word(r["Metric"]) for r in rows(doc("job.md"), "Metric")]
    assert documented == [*METRICS, f"{FIELD_METRIC}<name>"]


def test_the_words_of_tables_are_those_of_the_api() -> None:
    job, conditions = doc("job.md"), doc("conditions.md")
    assert {word(r["Decision"]) for r in rows(job, "Decision")} == set(Decision)
    assert {word(r["Reason"]) for r in rows(job, "Reason")} == set(RejectionReason)
    assert [word(r["Condition"]) for r in rows(conditions, "Condition")] == list(ConditionType)


def test_phases_are_documented_in_the_order_in_which_they_are_decided() -> None:
    documented = [word(r["Phase"]) for r in rows(doc("conditions.md"), "Phase")]
    assert documented == [*(rule.phase for rule in _PRECEDENCE), Phase.PENDING]


def test_every_reason_of_an_end_is_documented_as_a_condition_s() -> None:
    assert {m.reason for m in MEANINGS.values()} - set(SPAN.findall(doc("conditions.md"))) == set()


def test_exactly_the_lines_and_moments_of_an_explanation_are_documented() -> None:
    lines = [word(r["Line of `--explain`"]) for r in rows(doc("memory-model.md"), "Line of `--explain`")]
    assert sorted(lines) == sorted([*make_memory().components(), "total", "host"])
    assert [r["Moment"] for r in rows(doc("memory-model.md"), "Moment")] == list(Peak)


@pytest.mark.parametrize(
    "row",
    [row for page in ("memory-model.md", "speed-model.md") for row in rows(doc(page), "Constant", "Value")],
    ids=lambda r: r["Constant"],
)
def test_a_constant_has_the_documented_value(row: Row) -> None:
    modules = [importlib.import_module(f"finetune_operator.planner.{name}") for name in CONSTANTS]
    values = {name: value for module in modules for name, value in vars(module).items()}
    said = row["Value"]
    assert values[word(row["Constant"])] == (parse_memory(said) if said.endswith("iB") else float(said))


def examples(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def check_yaml(text: str, folder: Path) -> None:
    """Read an example as what it is: a job, a file of nodes, a status, or a part of a spec."""
    (folder / "example.yaml").write_text(text, encoding="utf-8")
    value = yaml.safe_load(text)
    if "kind" in value:
        read_job(folder / "example.yaml")
    elif "nodes" in value:
        read_nodes(folder / "example.yaml")
    elif "status" in value:
        FineTuneJobStatus.model_validate_json(json.dumps(value["status"]))
    else:
        FineTuneJobSpec.model_validate_json(json.dumps(make_manifest(**value.get("spec", value))["spec"]))


@pytest.mark.parametrize("page", named(PAGES))
def test_examples_are_valid(page: Path, tmp_path: Path) -> None:
    for text in examples(page, "yaml"):
        check_yaml(text, tmp_path)
    for line in (line for text in examples(page, "jsonl") for line in text.splitlines()):
        value = json.loads(line)
        row_format = format_of(value)
        assert row_format is not None, line
        understand(value, row_format)


def places(value: Any, place: str = "") -> Iterator[str]:
    """Where the values of nested groups are."""
    if not isinstance(value, dict):
        yield place
        return
    for name, below in value.items():
        yield from places(below, f"{place}.{name}" if place else name)


def test_the_complete_example_is_complete() -> None:
    spec = yaml.safe_load(examples(ROOT / "docs" / "job.md", "yaml")[0])["spec"]
    # refused beside the example's objective
    assert spec.keys() | {"preference"} == {f.alias for f in FineTuneJobSpec.model_fields.values()}
    free, open_ended = ("adapter.", "training.", "plan."), ("hardware.nodeSelector", "hardware.tolerations")

    def told(found: Iterable[str]) -> set[str]:
        return {p for p in found if p.startswith((*free, "hardware.")) and not p.startswith(open_ended)}

    assert told(places(spec)) == told(fields(FineTuneJobSpec))


def test_there_is_a_row_of_every_format() -> None:
    lines = [line for text in examples(ROOT / "docs" / "job.md", "jsonl") for line in text.splitlines()]
    assert {format_of(json.loads(line)) for line in lines} == set(RowFormat) - {RowFormat.AUTO}


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def broken_links(text: str, folder: Path, own: set[str]) -> list[str]:
    """Links into the repository that lead nowhere."""
    broken = []
    for link in ("".join(pair) for pair in LINK.findall(SPAN.sub("", BLOCK.sub("", text)))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = folder / path
        known = own if not path else anchors(target) if target.suffix == ".md" and target.is_file() else set()
        if (path and not target.exists()) or (anchor and anchor not in known):
            broken.append(link)
    return broken


def commands(text: str, program: str) -> list[list[str]]:
    """What follows that program where it begins a code or a line of a block."""
    blocks = [line.strip().removeprefix("$ ") for _, block in BLOCK.findall(text) for line in block.splitlines()]
    lines = [*blocks, *SPAN.findall(BLOCK.sub("", text))]
    starts = re.compile(rf"(?:\S*/)?{program} (?=\S)")
    found = [line[m.end() :] for line in lines if (m := starts.match(line))]
    return [shlex.split(line, comments=True) for line in found]


def unknown_targets(text: str) -> list[str]:
    known = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    words = [w for command in commands(text, "make") for w in command if "=" not in w and not w.startswith("-")]
    return [w for w in words if w not in known]


def options_of(command: click.Command) -> set[str]:
    with click.Context(command, help_option_names=["-h", "--help"]) as context:
        return {o for p in command.get_params(context) for o in (*p.opts, *p.secondary_opts) if o.startswith("-")}


def unknown_to_the_program(text: str) -> list[str]:
    """Verbs and options that `finetune` and `kubectl finetune` don't have."""
    return [*unknown_to(finetune, commands(text, "finetune")), *unknown_to(kubectl_finetune, commands(text, PLUGIN))]


def unknown_to(program: click.Group, used: list[list[str]]) -> list[str]:
    unknown = []
    for words in used:
        verb = next((w for w in words if not w.startswith("-")), None)
        known, own = options_of(program), program.get_command(click.Context(program), verb or "")
        while isinstance(own, click.Group):
            known = known | options_of(own)
            below = next((w for w in words if w in own.list_commands(click.Context(own))), "")
            own = own.get_command(click.Context(own), below) or click.Command(None)
        if own is not None:
            known = known | options_of(own)
        elif verb is not None:
            unknown.append(verb)
        unknown += [w for w in words if w.startswith("-") and w.partition("=")[0] not in known]
    return unknown


@pytest.mark.parametrize("page", named(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page.read_text(encoding="utf-8"), page.parent, anchors(page)) == []


@pytest.mark.parametrize("page", named(PAGES))
def test_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert (unknown_targets(text), unknown_to_the_program(text)) == ([], [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("Run `make fly lint PYTHON=python3`.", ["fly"], id="target"),
        pytest.param("```\nmake tset   # all of it\n```", ["tset"], id="target-in-a-block"),
        pytest.param("You make mistakes; `makefile`.", [], id="no-command"),
        pytest.param("Run `finetune fly job.yaml`.", ["fly"], id="verb"),
        pytest.param("```sh\n$ finetune plan job.yaml --knodes x\n```", ["--knodes"], id="option"),
        pytest.param("`finetune run job.yaml --nodes x`", ["--nodes"], id="option-of-another-verb"),
        pytest.param("`kubectl finetune run job.yaml`", ["run"], id="verb-of-another-program"),
        pytest.param("`kubectl finetune status tickets --watch -n x`", [], id="plugin"),
        pytest.param("`.venv/bin/finetune --debug plan job.yaml -o json --explain=x`", [], id="all-known"),
        pytest.param("`finetune`, and finetune fly", [], id="no-code"),
        pytest.param("See [a](docs/nowhere.md), [b](docs/job.md).", ["docs/nowhere.md"], id="link"),
        pytest.param("See [a](docs/job.md#rows) and [b](docs/job.md#columns).", ["docs/job.md#columns"], id="anchor"),
        pytest.param('<img src="docs/images/none.svg">', ["docs/images/none.svg"], id="picture"),
        pytest.param("[a](https://example.com/x) `[b](c)`", [], id="elsewhere"),
    ],
)
def test_what_does_not_exist_is_found(text: str, found: list[str]) -> None:
    assert [*unknown_targets(text), *unknown_to_the_program(text), *broken_links(text, ROOT, set())] == found
