"""What `finetune plan` prints, whole."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from finetune_operator.cli.explain_view import explanation_value, print_explanation
from finetune_operator.cli.options_view import options_value, print_options
from finetune_operator.cli.output import PIPE_WIDTH
from finetune_operator.local.inspect import DataFiles, Inspected
from finetune_operator.local.model_store import ModelFolder
from finetune_operator.local.road import Prospect
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.explain import explain
from finetune_operator.planner.planner import plan
from finetune_operator.units import GIB, Bytes
from tests.support.golden import check_golden
from tests.support.plans import make_job
from tests.unit.planner.builders import SEVEN, SEVENTY, make_capacity, make_facts, make_fleet, make_gpus

FLEET = make_fleet()
SMALL = make_capacity(make_gpus(8, 1, product="NVIDIA GeForce RTX 4060", peak_flops=60e12))


def prospect(repo: str = SEVEN, capacity: Capacity = FLEET, **spec: Any) -> Prospect:
    job, facts = make_job(**spec), make_facts(repo)
    return Prospect(
        job=job,
        folder=Path(),
        model=ModelFolder(path=Path(), description=repo),
        inspected=Inspected(
            facts=facts, model=repo, inspection=None, files=DataFiles(train=(), evaluation=None), adapter=None
        ),
        capacity=capacity,
        plans=plan(job.spec, facts, capacity),
    )


def printed(found: Prospect, *, everything: bool = False) -> str:
    out = Console(file=io.StringIO(), width=PIPE_WIDTH, soft_wrap=True, highlight=False)
    print_options(out, found, ["job.yaml", "--nodes", "nodes.yaml"], everything=everything)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_the_list() -> None:
    check_golden("cli/plan.txt", printed(prospect()))


def test_nothing_viable() -> None:
    left_out = Capacity(classes=SMALL.classes, origin=SMALL.origin, left_out={"cordoned": 2})
    check_golden("cli/plan-infeasible.txt", printed(prospect(SEVENTY, left_out)))


def test_all_are_listed_where_all_are_asked_for() -> None:
    found = prospect()
    short, whole = printed(found), printed(found, everything=True)
    ids = [p.id for p in (*found.plans.viable, *found.plans.unlisted)]
    rejected = [r.option for r in (*found.plans.rejected, *found.plans.other_rejected)]
    lines = [line.split() for line in whole.splitlines()]
    assert {*ids, *rejected} <= {word for line in lines for word in line[:2]}
    assert f"{len(found.plans.unlisted)} more: " in short
    assert " more" not in whole


def test_values_name_what_is_not_listed() -> None:
    found = prospect()
    short, whole = options_value(found), options_value(found, everything=True)
    assert [o["id"] for o in short["options"]] == [p.id for p in found.plans.viable]
    assert short["more"] == [p.id for p in found.plans.unlisted]
    assert {o["id"] for o in whole["options"]} == {o["id"] for o in short["options"]} | set(short["more"])
    assert [o["recommended"] for o in whole["options"]] == [True] + [False] * (len(whole["options"]) - 1)
    first = short["options"][0]
    assert {"allocated", "reserved", "process"} <= first["memory"].keys()
    assert first["serving"].startswith("the adapter (77 MiB) on the base model in 16 bits, or merged into it: ")
    json.dumps(whole)


def test_values_have_hardware_for_each_method() -> None:
    value = options_value(prospect(SEVENTY, SMALL))
    assert list(value["hardwareByMethod"]) == ["Full", "LoRA", "QLoRA", "DoRA"]
    assert value["hardware"] in value["hardwareByMethod"].values()


@pytest.mark.parametrize(
    "option", ["lora-1x24g", "qlora-1x24g", "dora-1x24g", "full-z3-4x80g", "full-z2-offload-1x80g"]
)
def test_an_explanation_adds_up(option: str) -> None:
    found = prospect()
    chosen = found.plans.find(option)
    assert chosen is not None
    explanation = explain(chosen, found.job.spec, found.inspected.facts)
    value = explanation_value(chosen, explanation)
    assert sum(line["bytes"] for line in value["components"]) == value["total"]
    assert value["total"] + value["margin"] + value["left"] == value["available"]
    out = Console(file=io.StringIO(), width=PIPE_WIDTH, soft_wrap=True, highlight=False)
    print_explanation(out, chosen, explanation)
    assert isinstance(out.file, io.StringIO)
    check_golden(f"cli/explain-{option}.txt", out.file.getvalue())


@pytest.mark.parametrize(("option", "component"), [("full-1x24g", "total"), ("full-z2-offload-1x24g", "host")])
def test_what_does_not_fit_is_explained_by_the_same_arithmetic(option: str, component: str) -> None:
    node = make_gpus(24, 1, ram=Bytes(64 * GIB), free_ram=Bytes(60 * GIB))
    found = prospect(capacity=make_capacity(node))
    chosen, against = found.plans.sized(option), found.plans.rejection(option)
    assert chosen is not None
    assert against is not None
    explanation = explain(chosen, found.job.spec, found.inspected.facts)
    value = explanation_value(chosen, explanation, against)
    assert sum(line["bytes"] for line in value["components"]) == value["total"]
    need = value["total"] if component == "total" else value["host"]["bytes"]
    assert (need, value["rejected"]["need"]) == (against.need, against.need)
    assert (value["left"] < 0) is (component == "total")
    out = Console(file=io.StringIO(), width=PIPE_WIDTH, soft_wrap=True, highlight=False)
    print_explanation(out, chosen, explanation, against)
    assert isinstance(out.file, io.StringIO)
    assert f"not viable: {against.message}" in out.file.getvalue()
    assert ("lacking" in out.file.getvalue()) is (component == "total")


def test_nothing_viable_counts_as_turned_down() -> None:
    plans = prospect().plans
    assert all(plans.sized(p.id) is None for p in (*plans.viable, *plans.unlisted))
