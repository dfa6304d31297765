"""Files and lines: every fault with its place."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from finetune_trainer.data import files
from finetune_trainer.data.raw import RawRow
from finetune_trainer.data.readers import read_rows
from finetune_trainer.events import RowFault
from finetune_trainer.exit_codes import ExitCode, TrainerError

ARRAY = "{path}: is a JSON array; call it .json, or write its objects one a line, without [ and ]"
ROW = b'{"text": "a"}\n'


def written(folder: Path, content: bytes, name: str = "train.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refused(path: Path, label: str = "train.jsonl") -> str:
    with pytest.raises(TrainerError) as e:
        list(read_rows(path, label))
    assert e.value.code is ExitCode.DATA
    return e.value.message


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(ROW * 2, [1, 2], id="lines"),
        pytest.param(ROW + ROW.strip(), [1, 2], id="no-line-end-at-the-end"),
        pytest.param(b"\xef\xbb\xbf" + ROW * 2, [1, 2], id="byte-order-mark"),
        pytest.param(b'{"text": "a"}\r\n{"text": "b"}\r\n', [1, 2], id="crlf"),
        pytest.param(b"\n\r\n" + ROW + b"  \n" + ROW, [3, 5], id="blank-lines"),
        pytest.param(b'  {"text": "a"}  \n', [1], id="white-space-around"),
        pytest.param('{"text": "\N{SNOWMAN}\N{GRINNING FACE}"}\n'.encode(), [1], id="beyond-ascii"),
        pytest.param(b'{"text": "\\ud83d\\ude00"}\n', [1], id="whole-surrogate-pair"),
    ],
)
def test_a_row_is_numbered_by_its_line(tmp_path: Path, content: bytes, lines: list[int]) -> None:
    rows = list(read_rows(written(tmp_path, content), "train.jsonl"))
    assert [r.line for r in rows if isinstance(r, RawRow)] == lines
    assert len(rows) == len(lines)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(b"[1, 2]", 'is a list, not an object; write {"instruction": …, "output": …}', id="list"),
        pytest.param(b'"text"', 'is a string, not an object; write {"instruction": …, "output": …}', id="string"),
        pytest.param(b"null", 'is null, not an object; write {"instruction": …, "output": …}', id="null"),
        pytest.param(b"17", 'is a number, not an object; write {"instruction": …, "output": …}', id="number"),
        pytest.param(b"true", 'is a boolean, not an object; write {"instruction": …, "output": …}', id="boolean"),
        pytest.param(b"instruction,output", "is not JSON: Expecting value at column 1", id="csv"),
        pytest.param(b'{"text": "a"},', "is not JSON: Extra data at column 14", id="comma-behind"),
        pytest.param(b'{"text": "a" "b"}', "is not JSON: Expecting ',' delimiter at column 14", id="no-comma"),
        pytest.param(b'{"text": "a"', "is not JSON: Expecting ',' delimiter at column 13", id="no-brace"),
        pytest.param(b'{"text": "a\tb"}', "is not JSON: Invalid control character at column 12", id="tab-in-text"),
        pytest.param(b'{"text": "\xff"}', "is not UTF-8 at byte 11; save the file as UTF-8", id="latin-1"),
        pytest.param(b'{"text": "\x00"}', "is not JSON: Invalid control character at column 11", id="nul"),
        pytest.param(b'{"text": NaN}', "holds NaN, which is not JSON; write a number, a string or null", id="nan"),
        pytest.param(b'{"a": 1, "a": 2}', 'has the key "a" more than once; keep one of them', id="key-twice"),
        pytest.param(
            b'{"text": "\\ud83d"}',
            "holds half of a surrogate pair (\\ud800 to \\udfff); write the whole character",
            id="half-character",
        ),
        pytest.param(b'{"text": ' + b"[" * 20_000, "nests too deeply; write flatter objects", id="deep"),
    ],
)
def test_a_bad_line_is_a_fault_and_the_others_are_read(tmp_path: Path, line: bytes, message: str) -> None:
    found = list(read_rows(written(tmp_path, ROW + line + b"\n" + ROW), "train.jsonl"))
    assert found[1] == RowFault(file="train.jsonl", line=2, message=message)
    assert [type(f) for f in (found[0], found[2])] == [RawRow, RawRow]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "{path}: is empty; write one JSON object a line", id="empty"),
        pytest.param(b" \n\r\n\t\n", "{path}: is empty; write one JSON object a line", id="blank"),
        pytest.param(b"\xef\xbb\xbf", "{path}: is empty; write one JSON object a line", id="byte-order-mark-alone"),
        pytest.param(
            b'[{"text": "a"}]',
            ARRAY,
            id="array",
        ),
        pytest.param(
            b'[\n{"text": "a"},\n{"text": "b"}\n]\n',
            ARRAY,
            id="array-over-lines",
        ),
        pytest.param(
            b'{\n  "text": "a"\n}\n',
            "{path}: spreads an object over several lines; write one JSON object a line",
            id="pretty-printed",
        ),
        pytest.param(
            b'{"text": "a",\n "more": 1}\n',
            "{path}: spreads an object over several lines; write one JSON object a line",
            id="over-two-lines",
        ),
        pytest.param(
            ROW + b'{"text": "b", "mo',
            "train.jsonl:2: is cut off: the file ends in the middle of a row; copy the file again, or drop the row",
            id="cut-off",
        ),
        pytest.param(
            ROW + b'{"messages": [{"role": "user"}',
            "train.jsonl:2: is cut off: the file ends in the middle of a row; copy the file again, or drop the row",
            id="cut-off-behind-a-brace",
        ),
        pytest.param(
            ROW + b'{"text": "\xe2\x98',
            "train.jsonl:2: is cut off: the file ends in the middle of a row; copy the file again, or drop the row",
            id="cut-off-in-a-character",
        ),
    ],
)
def test_a_file_that_is_none_of_rows_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = written(tmp_path, content)
    assert refused(path) == message.format(path=path)


def test_a_broken_last_row_is_not_taken_for_a_cut_off_file(tmp_path: Path) -> None:
    found = list(read_rows(written(tmp_path, ROW + b'{"text": 1 "b": 2}'), "train.jsonl"))
    assert isinstance(found[1], RowFault)


def test_a_broken_first_row_before_another_is_not_taken_for_an_object_over_lines(tmp_path: Path) -> None:
    found = list(read_rows(written(tmp_path, b'{"text": "a"\n' + ROW), "train.jsonl"))
    assert [type(f) for f in found] == [RowFault, RawRow]


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_ROW_BYTES", 1024**2)
    path = written(tmp_path, ROW + b'{"text": "' + b"a" * 1024**2 + b'"}\n')
    assert refused(path) == "train.jsonl:2: is longer than 1 MiB; write one JSON object a line"


def test_a_line_of_the_greatest_length_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_ROW_BYTES", len(ROW))
    assert len(list(read_rows(written(tmp_path, ROW * 2), "train.jsonl"))) == 2


def test_a_missing_file_is_told_with_where_paths_count_from(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.jsonl"
    assert refused(path) == f"{path}: there is no such file; check the path, it counts from the job file"


def test_a_folder_is_refused_with_a_file_that_is_in_it(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: is a folder; name a .jsonl file"
    written(tmp_path, ROW)
    assert refused(tmp_path) == f"{tmp_path}: is a folder; name a file in it, such as {tmp_path / 'train.jsonl'}"


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    assert refused(path) == f"{path}: is no regular file; name a .jsonl file"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("train.xlsx", "has the suffix .xlsx"),
        ("train.parquet.gz", "has the suffix .gz"),
        ("train.gz", "has the suffix .gz"),
        ("train", "has no suffix"),
    ],
    ids=["excel", "packed-columns", "packed-alone", "none"],
)
def test_another_suffix_is_refused(tmp_path: Path, name: str, what: str) -> None:
    path = written(tmp_path, ROW, name)
    remedy = (
        "rows are read from JSON Lines (.jsonl), JSON (.json), CSV (.csv), Parquet (.parquet), Arrow (.arrow); the "
        "first three may be gzipped (.gz)"
    )
    assert refused(path) == f"{path}: {what}; {remedy}"


@pytest.mark.parametrize("name", ["train.json", "train.ndjson", "TRAIN.JSONL"])
def test_json_lines_are_read_under_their_other_names(tmp_path: Path, name: str) -> None:
    assert len(list(read_rows(written(tmp_path, ROW, name), name))) == 1


def test_a_name_that_is_too_long_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 300 + ".jsonl")
    assert refused(path) == f"{path}: can't be read: File name too long"


LINES = st.one_of(
    st.binary(max_size=40),
    st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=6) | st.none(), max_size=3).map(
        lambda value: json.dumps(value).encode()
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(LINES, max_size=6), st.sampled_from([b"\n", b"\r\n", b"\r", b""]))
@example(lines=[b'{"a":' + b"[" * 995], end=b"")
@example(lines=[b'{"a": 1e999}', b"9" * 5000], end=b"\n")
def test_any_bytes_are_rows_or_faults_or_a_refusal(tmp_path: Path, lines: list[bytes], end: bytes) -> None:
    path = written(tmp_path, end.join(lines))
    found: list[RawRow | RowFault] = []
    message = ""
    try:
        found += read_rows(path, "train.jsonl")
    except TrainerError as e:
        message = e.message
    assert [f.line for f in found] == sorted({f.line for f in found})
    assert message.startswith((f"{path}: ", "train.jsonl:")) if message else found
