"""The program itself: help that teaches, codes for errors, its name under kubectl."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from finetune_operator.cli.errors import EXIT_CODES_HELP, exit_code_of
from finetune_operator.cli.kubectl.main import VERBS, kubectl_finetune
from finetune_operator.cli.main import PLUGIN, finetune, invoke, program_name
from finetune_operator.exceptions import FineTuneError, InfeasibleError, UnknownOptionError
from finetune_trainer.exit_codes import ExitCode


@pytest.mark.parametrize("verb", ["plan", "run", "status", "report"])
def test_every_verb_teaches_by_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([verb, "--help"], "finetune") == 0
    assert f"finetune {verb} job.yaml" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_the_plugin_teaches_by_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([verb, "--help"], PLUGIN) == 0
    subject = "job.yaml" if verb == "submit" else "tickets"
    assert f"{PLUGIN} {verb} {subject}" in capsys.readouterr().out


def parameters(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Every parameter of a program, and what help shows for its value."""
    for parameter in command.get_params(context):
        yield f"{context.command_path} {parameter.name}", parameter.make_metavar(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            verb = command.get_command(context, name)
            assert verb is not None
            yield from parameters(verb, click.Context(verb, parent=context, info_name=name))


@pytest.mark.parametrize("program", [finetune, kubectl_finetune])
def test_help_says_what_is_to_be_written_and_never_a_type(program: click.Group) -> None:
    shown = dict(parameters(program, click.Context(program)))
    assert len(shown) > 10
    types = {"PATH", "TEXT", "INTEGER", "FLOAT", "FILENAME", "INTEGER RANGE", "FLOAT RANGE"}
    assert [name for name, metavar in shown.items() if metavar in types] == []


def test_the_plugin_has_its_own_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--help"], PLUGIN) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {verb} " in out for verb in VERBS)
    assert "Exit codes" in out
    assert invoke(["run", "job.yaml"], PLUGIN) == 2


def test_the_program_s_help_names_every_exit_code_that_a_user_meets(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--help"], "finetune") == 0
    assert "Exit codes" in capsys.readouterr().out
    for code in ExitCode:
        never_alone = {ExitCode.ACCELERATOR_MISSING, ExitCode.WORLD_SIZE_MISMATCH}
        assert code in never_alone or f"{code.value} " in EXIT_CODES_HELP


def every_error(kind: type[FineTuneError]) -> list[type[FineTuneError]]:
    return [kind, *(e for below in kind.__subclasses__() for e in every_error(below))]


@pytest.mark.parametrize("kind", [k for k in every_error(FineTuneError) if k is not FineTuneError])
def test_no_error_that_a_user_causes_is_called_a_fault_of_ours(kind: type[FineTuneError]) -> None:
    assert exit_code_of(kind("what")) != ExitCode.INTERNAL


def test_an_unknown_option_is_infeasible() -> None:
    assert exit_code_of(UnknownOptionError("x")) == exit_code_of(InfeasibleError("x")) == 4


@pytest.mark.parametrize(
    ("argv0", "name"),
    [
        pytest.param("/usr/bin/finetune", "finetune", id="itself"),
        pytest.param("/usr/bin/kubectl-finetune", "kubectl finetune", id="plugin"),
    ],
)
def test_the_program_is_called_as_the_user_called_it(argv0: str, name: str) -> None:
    assert program_name(argv0) == name


def test_a_wrong_command_line_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["plan"], "finetune") == 2
    assert invoke(["pan", "job.yaml"], "finetune") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_is_one_line_and_a_traceback_only_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "job.yaml")
    assert invoke(["plan", missing], "finetune") == ExitCode.CONFIGURATION
    plain = capsys.readouterr().err
    assert plain.startswith(f"error: {missing}: ")
    assert len(plain.splitlines()) == 1
    assert invoke(["--debug", "plan", missing], "finetune") == ExitCode.CONFIGURATION
    assert "Traceback" in capsys.readouterr().err
