"""Model folders: what is there, what is whole, and what is refused."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.model_files import check_model, check_safetensors, files_of, weight_shards

CONFIG: Final = {"model_type": "llama", "hidden_size": 8}


def safetensors(tensors: Mapping[str, int], **header: Any) -> bytes:
    """A file of F32 tensors with so many numbers each, one behind the other."""
    end = 0
    for name, size in tensors.items():
        header[name] = {"dtype": "F32", "shape": [size], "data_offsets": [end, end + 4 * size]}
        end += 4 * size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


WHOLE: Final = safetensors({"a": 3, "b": 2}, __metadata__={"format": "pt"})


def write_model(folder: Path, **files: bytes | Mapping[str, Any]) -> Path:
    """A model in one file; a keyword is another file, with _ for a dot and - for _."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(WHOLE)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder


def refused(folder: Path, *, weights: bool = True) -> str:
    with pytest.raises(TrainerError) as e:
        check_model(folder, weights=weights)
    assert e.value.code is ExitCode.MODEL
    return e.value.message


def test_a_whole_model_passes_with_its_config_and_the_bytes_of_its_weights(tmp_path: Path) -> None:
    assert check_model(write_model(tmp_path), weights=True) == (CONFIG, len(WHOLE))


def test_weights_in_several_files_are_added_up(tmp_path: Path) -> None:
    folder = write_model(tmp_path, one_safetensors=WHOLE, two_safetensors=safetensors({"c": 5}))
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert weight_shards(folder) == [folder / "one.safetensors", folder / "two.safetensors"]
    assert check_model(folder, weights=True)[1] == len(WHOLE) + (folder / "two.safetensors").stat().st_size


def test_to_plan_a_config_without_weights_is_enough(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (folder / "model.safetensors").unlink()
    assert check_model(folder, weights=False) == (CONFIG, 0)
    assert refused(folder) == f"{folder}: has no weights (model.safetensors); download the model again"


def empty(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_content(folder: Path) -> None:
    (folder / "config.json").write_text("{}", encoding="utf-8")


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")


def list_config(folder: Path) -> None:
    (folder / "config.json").write_text("[1]", encoding="utf-8")


def folder_for_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()


@pytest.mark.parametrize("weights", [True, False], ids=["with-weights", "without-weights"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (empty, "{folder}: has no config.json with content; name the folder of a transformers model"),
        (no_content, "{folder}: has no config.json with content; name the folder of a transformers model"),
        (
            broken_config,
            (
                "{folder}/config.json: is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 "
                "(char 1)); download the model again"
            ),
        ),
        (list_config, "{folder}/config.json: is not a JSON object; download the model again"),
        (folder_for_config, "{folder}/config.json: can't be read: Is a directory"),
    ],
    ids=lambda v: v.__name__ if callable(v) else "",
)
def test_a_folder_without_a_usable_config_is_refused(
    tmp_path: Path, damage: Callable[[Path], None], message: str, *, weights: bool
) -> None:
    folder = write_model(tmp_path)
    damage(folder)
    assert refused(folder, weights=weights) == message.format(folder=folder)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    assert refused(path) == f"{path}: there is no such folder; name the one that holds config.json"
    path.write_bytes(b"GGUF")
    assert refused(path) == f"{path}: is not a folder; name the folder that holds config.json"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt", "last.ckpt"])
def test_pickled_weights_alone_are_refused(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path)
    (folder / "model.safetensors").rename(folder / name)
    assert refused(folder) == (
        f"{folder}: has only pickled weights, which can run code when they are read; convert them to model.safetensors "
        "where you trust them, or download the model's safetensors"
    )


@pytest.mark.parametrize(
    ("index", "message"),
    [
        pytest.param({}, "{folder}: has no weights (model.safetensors); download the model again", id="empty"),
        pytest.param(
            {"weight_map": {}},
            "{folder}/model.safetensors.index.json: names no file; download the model again",
            id="no-tensor",
        ),
        pytest.param(
            {"weight_map": ["a"]},
            "{folder}/model.safetensors.index.json: names no file; download the model again",
            id="another-type",
        ),
        pytest.param(
            {"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}},
            "{folder}/1.safetensors: is missing (2 of 2 weight files are); download the model again",
            id="missing",
        ),
        pytest.param(
            {"weight_map": {"a": "../other.safetensors"}},
            "{folder}/model.safetensors.index.json: names ../other.safetensors, which is outside of the folder",
            id="outside",
        ),
    ],
)
def test_an_index_must_lead_to_files_of_the_folder(tmp_path: Path, index: Mapping[str, Any], message: str) -> None:
    folder = write_model(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert refused(folder) == message.format(folder=folder)


def with_header(text: bytes, data: int = 0) -> bytes:
    return len(text).to_bytes(8, "little") + text + bytes(data)


GAP: Final = b'{"a": {"data_offsets": [0, 4]}, "b": {"data_offsets": [8, 12]}}'


@pytest.mark.parametrize(
    ("content", "damage"),
    [
        pytest.param(b"", "its header goes on beyond its 0 bytes", id="empty"),
        pytest.param(WHOLE[:7], "its header goes on beyond its 7 bytes", id="shorter-than-a-length"),
        pytest.param(WHOLE[:50], "its header goes on beyond its 50 bytes", id="cut-in-the-header"),
        pytest.param(WHOLE[:-1], "its header speaks of 20 bytes of tensors, there are 19", id="cut-in-the-data"),
        pytest.param(WHOLE + b"x", "its header speaks of 20 bytes of tensors, there are 21", id="a-byte-more"),
        pytest.param(b"PK\x03\x04" + bytes(100), "its header goes on beyond its 104 bytes", id="zip"),
        pytest.param(
            with_header(b'{"a": {"data_offsets": [0, 1e999]}}'), "its header is damaged", id="infinite-offset"
        ),
        pytest.param(with_header(b"[" * 9999), "its header is damaged", id="nested"),
        pytest.param(with_header(b"not json"), "its header is damaged", id="not-json"),
        pytest.param(with_header(b"[]"), "its header is damaged", id="list"),
        pytest.param(with_header(b'{"a": 1}'), "its header is damaged", id="tensor-of-another-type"),
        pytest.param(with_header(b'{"a": {"data_offsets": [0]}}'), "its header is damaged", id="one-offset"),
        pytest.param(with_header(b'{"a": {"data_offsets": ["a", "b"]}}'), "its header is damaged", id="text-offsets"),
        pytest.param(with_header(b'{"a": {"data_offsets": [4, 8]}}', 8), "its header is damaged", id="late-begin"),
        pytest.param(with_header(GAP, 12), "its header is damaged", id="gap"),
        pytest.param(
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "it is the pointer that Git LFS leaves in its place (git lfs pull gets the file)",
            id="lfs-pointer",
        ),
    ],
)
def test_a_damaged_file_is_found_without_reading_the_weights(tmp_path: Path, content: bytes, damage: str) -> None:
    folder = write_model(tmp_path)
    (folder / "model.safetensors").write_bytes(content)
    path = folder / "model.safetensors"
    assert refused(folder) == f"{path}: is no whole safetensors file: {damage}; download it again"


def test_every_shard_is_checked(tmp_path: Path) -> None:
    folder = write_model(tmp_path, one_safetensors=WHOLE, two_safetensors=WHOLE[:-1])
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert refused(folder).startswith(f"{folder}/two.safetensors: is no whole safetensors file: ")


def test_a_folder_in_the_weights_place_is_told(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    assert refused(folder) == f"{folder}/model.safetensors: can't be read: Is a directory"


def test_a_file_without_tensors_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "empty.safetensors"
    path.write_bytes(safetensors({}))
    check_safetensors(path)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60), headed=st.booleans())
def test_any_bytes_are_whole_or_refused(tmp_path: Path, *, content: bytes, headed: bool) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_header(content) if headed else content)
    message = ""
    try:
        check_safetensors(path)
    except TrainerError as e:
        message = e.message
    assert not message or message.startswith(f"{path}: is no whole safetensors file: ")


def test_a_model_is_its_descriptions_and_its_weights(tmp_path: Path) -> None:
    folder = write_model(tmp_path, tokenizer_json=b"{}", chat_template_jinja=b"x", notes_md=b"x")
    (folder / "chat.template.jinja").rename(folder / "chat_template.jinja")
    assert [p.name for p in files_of(folder)] == [
        "config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "model.safetensors",
    ]
