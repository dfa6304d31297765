"""JSON arrays, tables, columns and packed files: the same rows from each, and every fault at its place."""

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

from finetune_trainer.data import files, json_array
from finetune_trainer.data.raw import RawRow
from finetune_trainer.data.readers import read_rows
from finetune_trainer.events import RowFault
from finetune_trainer.exit_codes import ExitCode, TrainerError

ROWS: Final[Sequence[dict[str, Any]]] = (
    {"instruction": 'say "hello",\nin one line', "output": "hello"},
    {"instruction": "\N{SNOWMAN}", "output": "[1, 2]"},
    {"instruction": "third", "output": ""},
)


def table() -> pa.Table:
    return pa.Table.from_pylist(list(ROWS))


def write_stream(path: Path) -> None:
    with pa.ipc.new_stream(str(path), table().schema) as writer:
        writer.write_table(table())


def write_csv(path: Path, separator: str = ",") -> None:
    lines = [
        separator.join(f'"{cell}"' for cell in (c.replace('"', '""') for c in cells))
        for cells in (("instruction", "output"), *(tuple(row.values()) for row in ROWS))
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def write_packed(path: Path) -> None:
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode()))


WRITERS: Final[dict[str, tuple[str, Callable[[Path], Any], Sequence[int]]]] = {
    "array": ("a.json", lambda p: p.write_text(json.dumps(ROWS), encoding="utf-8"), (1, 1, 1)),
    "array-over-lines": ("a.json", lambda p: p.write_text(json.dumps(ROWS, indent=1), encoding="utf-8"), (2, 6, 10)),
    "array-with-mark": ("a.json", lambda p: p.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROWS).encode()), (1, 1, 1)),
    "csv": ("a.csv", write_csv, (2, 4, 5)),
    "tsv": ("a.tsv", lambda p: write_csv(p, "\t"), (2, 4, 5)),
    "parquet": ("a.parquet", lambda p: parquet.write_table(table(), p), (1, 2, 3)),
    "feather": ("a.feather", lambda p: feather.write_feather(table(), str(p)), (1, 2, 3)),
    "arrow-stream": ("a.arrow", write_stream, (1, 2, 3)),
    "gzip": ("a.jsonl.gz", write_packed, (1, 2, 3)),
}


@pytest.mark.parametrize(("name", "write", "lines"), WRITERS.values(), ids=WRITERS)
def test_every_kind_of_file_has_the_same_rows(
    tmp_path: Path, name: str, write: Callable[[Path], Any], lines: Sequence[int]
) -> None:
    write(tmp_path / name)
    found = list(read_rows(tmp_path / name, name))
    assert found == [RawRow(line=n, value=v) for n, v in zip(lines, ROWS, strict=True)]


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_an_array_is_the_same_however_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(json_array, "PIECE", piece)
    path = tmp_path / "a.json"
    path.write_text(json.dumps([*ROWS, {"n": 12345}], indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    found = [row.value for row in read_rows(path, "a.json") if isinstance(row, RawRow)]
    assert found == [*ROWS, {"n": 12345}]


@pytest.mark.parametrize("piece", [1, 3, 4, 5])
def test_a_number_is_not_cut_where_reading_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(json_array, "PIECE", piece)
    (tmp_path / "a.json").write_text('[12345, {"a": 1}]', encoding="utf-8")
    assert [type(row) for row in read_rows(tmp_path / "a.json", "a.json")] == [RowFault, RawRow]


MALFORMED: Final[dict[str, tuple[str, bytes, str]]] = {
    "array-element-no-object": ("a.json", b'[{"a": 1},\n\n3]', "a.json:3: is a number, not an object; "),
    "array-key-twice": ("a.json", b'[\n{"a": 1, "a": 2},\n{"b": 1}]', 'a.json:2: has the key "a" more than once; '),
    "array-nan": ("a.json", b'[{"a": "x\ny"},\n{"a": NaN}]'.replace(b"\ny", b"y"), "a.json:2: holds NaN, "),
    "array-half-character": ("a.json", b'[{"a": 1},\n{"a": "\\ud83d"}]', "a.json:2: holds half of a surrogate "),
    "csv-cells": ("a.csv", b'x,y\n1,2\n"a\nb",2\n1,2,3\n', "a.csv:5: has 3 cells where the first line has 2; "),
    "csv-quote": ("a.csv", b'x,y\n1,2\n"a"b,2\n1,2\n', "a.csv:3: is not CSV: ',' expected after '\"'; "),
    "csv-latin-1": ("a.csv", b'x,y\n1,2\n"a\n\xe9",2\n1,2\n', "a.csv:4: is not UTF-8; save the file as UTF-8"),
    "csv-json-cell": ("a.csv", b"messages\n[1\n", "a.csv:2: messages is not JSON: "),
    "csv-label": ("a.csv", b"prompt,completion,label\nq,a,maybe\n", "a.csv:2: label is not JSON: "),
    "gzip-line": ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n{"a" 1}\n'), "a.jsonl.gz:2: is not JSON: "),
}
"""Files with one bad row, which is told at its place while the others are read."""


@pytest.mark.parametrize(("name", "content", "told"), MALFORMED.values(), ids=MALFORMED)
def test_a_bad_row_is_told_at_its_place(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    faults = [row for row in read_rows(path, name) if isinstance(row, RowFault)]
    assert [f"{f.file}:{f.line}: {f.message}".startswith(told) for f in faults] == [True], faults


UNUSABLE: Final[dict[str, tuple[str, bytes, str]]] = {
    "array-bad-value": ("a.json", b'[{"a": 1},\n{"b": tru}]', "a.json:2: is not JSON: Expecting value; "),
    "array-no-comma": ("a.json", b'[{"a": 1}\n{"b": 1}]', "a.json:2: is not JSON: '{' where ',' belongs"),
    "array-comma-at-the-end": ("a.json", b'[{"a": 1},\n]', "a.json:2: is not JSON: Expecting value; "),
    "array-cut-off": ("a.json", b'[{"a": 1},\n{"b": "x', "a.json:2: is cut off: the file ends in the middle of a r"),
    "array-cut-off-between": ("a.json", b'[{"a": 1},\n{"b": 1}\n', "a.json:3: is cut off: the file ends in the mid"),
    "array-cut-off-after-comma": ("a.json", b'[{"a": 1},\n', "a.json:2: is cut off: "),
    "array-more": ("a.json", b'[{"a": 1}]\n{"b": 1}', "a.json:2: something follows the end of the array; "),
    "array-latin-1": ("a.json", b'[{"a": 1},\n{"b": "\xe9"}]', "a.json:2: is not UTF-8; save the file as UTF-8"),
    "array-deep": ("a.json", b"[" * 100_000, "a.json:1: nests too deeply; write flatter objects"),
    "array-empty": ("a.json", b"[]", "{path}: is empty; "),
    "array-in-jsonl": ("a.jsonl", b'[{"a": 1}]', "{path}: is a JSON array; call it .json, or "),
    "csv-open-quote": ("a.csv", b'x,y\n1,2\n"a,2\n1,2\n', "a.csv:3: opens a quote that is never closed; "),
    "csv-no-name": ("a.csv", b"x,,y\n1,2,3\n", "a.csv:1: column 2 has no name; "),
    "csv-name-twice": ("a.csv", b"x,y,x\n1,2,3\n", "a.csv:1: two columns have the name x; keep one of them"),
    "csv-names-alone": ("a.csv", b"x,y\n", "{path}: is empty; "),
    "csv-empty": ("a.csv", b"", "{path}: is empty; "),
    "parquet-damaged": (
        "a.parquet",
        b"PAR1 and more that is none PAR1",
        "{path}: is no .parquet file that can be read (",
    ),
    "parquet-empty": ("a.parquet", b"", "{path}: is no .parquet file that can be read ("),
    "arrow-damaged": ("a.arrow", b"ARROW1\0\0 and more", "{path}: is no .arrow file that can be read ("),
    "feather-empty": ("a.feather", b"", "{path}: is no .feather file that can be read ("),
    "gzip-none": ("a.jsonl.gz", b'{"a": 1}\n', "{path}: is not gzipped, or is damaged ("),
    "gzip-cut-off": ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 99)[:-9], "{path}: is cut off or damaged ("),
    "gzip-empty": ("a.csv.gz", gzip.compress(b""), "{path}: is empty; "),
}
"""Files that can't be used as a whole."""


@pytest.mark.parametrize(("name", "content", "told"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_file_that_can_not_be_used_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TrainerError) as e:
        list(read_rows(path, name))
    assert e.value.code is ExitCode.DATA
    assert e.value.message.startswith(told.replace("{path}", str(path))), e.value.message


def test_a_null_in_a_column_is_a_key_that_is_not_there(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "completion": "a", "label": None}, {"prompt": "q", "completion": "a", "label": True}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = [row.value for row in read_rows(tmp_path / "a.parquet", "a.parquet") if isinstance(row, RawRow)]
    assert [sorted(value) for value in found] == [["completion", "prompt"], ["completion", "label", "prompt"]]


def test_text_that_is_none_in_a_column_is_a_fault_of_its_row(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"c"], pa.binary()).buffers())
    parquet.write_table(pa.table({"text": broken}), tmp_path / "a.parquet")
    found = list(read_rows(tmp_path / "a.parquet", "a.parquet"))
    assert found == [
        RawRow(line=1, value={"text": "a"}),
        RowFault(file="a.parquet", line=2, message="holds text that is not UTF-8; write it as UTF-8"),
        RawRow(line=3, value={"text": "c"}),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.json", b'[{"a": 1}, {"text": "' + b"a" * 4096 + b'"}]', id="array"),
        pytest.param("a.csv", b'text\n"' + b"a" * 4096 + b'"\n', id="csv"),
        pytest.param("a.csv", b'text\n"' + b"a\n" * 2048 + b'"\n', id="csv-over-lines"),
    ],
)
def test_a_row_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    monkeypatch.setattr(files, "MAX_ROW_BYTES", 1024)
    monkeypatch.setattr(json_array, "PIECE", 64)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainerError, match=r" MiB"):
        list(read_rows(tmp_path / name, name))


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
).map(lambda v: json.dumps(v).encode())
PARTS: Final = st.binary(max_size=30) | JSON | st.sampled_from([b"[", b"]", b",", b'"', b"\n", b"\r", b"{", b"}", b":"])
NAMES: Final = st.sampled_from(
    ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a.arrow", "a.jsonl.gz", "a.csv.gz"]
)
HEADS: Final = st.sampled_from([b"", b"[", b"a,b\n", b"PAR1", b"ARROW1\0\0", b"\x1f\x8b\x08\0"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES, HEADS, st.lists(PARTS, max_size=8), st.booleans())
def test_any_bytes_are_rows_faults_or_a_sentence(
    tmp_path: Path,
    name: str,
    head: bytes,
    parts: list[bytes],
    packed: bool,  # noqa: FBT001  hypothesis gives by place
) -> None:
    path = tmp_path / name
    content = head + b"".join(parts)
    path.write_bytes(gzip.compress(content) if packed and name.endswith(".gz") else content)
    found: list[RawRow | RowFault] = []
    told = f"{path}: "
    try:
        found += read_rows(path, name)
    except TrainerError as e:
        told = e.message
    assert told.startswith((f"{path}: ", f"{name}:"))
    assert all(row.line >= 1 for row in found)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(st.text(min_size=1, max_size=4), st.text(max_size=8), max_size=3), min_size=1, max_size=5)
)
def test_what_is_written_as_an_array_is_read_again(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    assert [row.value for row in read_rows(path, "a.json") if isinstance(row, RawRow)] == rows
