"""What `finetune status` says."""

from pathlib import Path

from click.testing import CliRunner

from finetune_operator.cli.status import status_command
from finetune_operator.lifecycle.status import advance, begun, started
from finetune_operator.local.status_file import write_status
from tests.support.golden import check_golden
from tests.support.plans import make_plan
from tests.unit.lifecycle.test_status import FACTS, LATER, MEMORY, NOW, RESULT, STEP


def test_status_tells_measured_memory_against_the_plan(tmp_path: Path) -> None:
    status = started(begun(FACTS, None, make_plan(), "sha256:1", NOW), NOW)
    said = ""
    for event in (STEP, MEMORY, RESULT):
        status = advance(status, event, LATER)
        write_status(tmp_path, status)
        said += CliRunner().invoke(status_command, [str(tmp_path)]).output + "\n"
    check_golden("cli/status.txt", said.replace(str(tmp_path), "/out"))
