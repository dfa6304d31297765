"""Tokenizer folders: what is read from them, what is refused, and ids that don't depend on where a text is cut."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from finetune_trainer.data.contents import Message, RowError
from finetune_trainer.data.tokenizer import IdWriter, TextTokenizer
from finetune_trainer.exit_codes import ExitCode, TrainerError
from tests.unit.trainer_data.builders import SPECIAL, text_of, write_tokenizer


def refused(folder: Path) -> str:
    with pytest.raises(TrainerError) as e:
        TextTokenizer.load(folder)
    assert e.value.code is ExitCode.MODEL
    return e.value.message


def test_a_folder_without_tokenizer_is_refused_with_how_to_make_one(tmp_path: Path) -> None:
    assert refused(tmp_path) == (
        f"{tmp_path}: has no tokenizer.json; save it with transformers: "
        "AutoTokenizer.from_pretrained(...).save_pretrained(...)"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("tokenizer.json", "{}", "tokenizer.json: is damaged (", id="tokenizer"),
        pytest.param("tokenizer_config.json", "{", "tokenizer_config.json: is not JSON (", id="config-not-json"),
        pytest.param("tokenizer_config.json", "[]", "tokenizer_config.json: is not a JSON object;", id="config-a-list"),
        pytest.param("generation_config.json", "nope", "generation_config.json: is not JSON (", id="generation-config"),
        pytest.param("config.json", "[" * 100_000, "config.json: is not JSON (", id="config-nested"),
        pytest.param("chat_template.jinja", "{% for", "model: its chat template is damaged (", id="template"),
        pytest.param("chat_template.jinja", b"\xff", "chat_template.jinja: can't be read (", id="template-encoding"),
        pytest.param(
            "tokenizer_config.json",
            '{"eos_token": "</s>", "chat_template": 3}',
            "tokenizer_config.json: chat_template is neither a template nor a list",
            id="template-of-another-type",
        ),
        pytest.param(
            "tokenizer_config.json",
            '{"eos_token": "</s>", "chat_template": [{"name": "rag", "template": "x"}]}',
            "tokenizer_config.json: chat_template is neither a template nor a list with one of the name default",
            id="no-default-template",
        ),
        pytest.param(
            "tokenizer_config.json", "{}", "model: names no stop token that tokenizer.json has; ", id="no-stop"
        ),
        pytest.param(
            "tokenizer_config.json",
            '{"eos_token": "<|gone|>"}',
            "model: names no stop token",
            id="stop-not-in-vocabulary",
        ),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    folder = write_tokenizer(tmp_path / "model", template=None)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refused(folder).startswith(f"{tmp_path}/{'model/' if not message.startswith('model') else ''}{message}")


def test_a_folder_in_a_file_s_place_is_told(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path)
    (folder / "generation_config.json").mkdir()
    assert refused(folder) == f"{folder}/generation_config.json: can't be read: Is a directory"


IDS = {token: number for number, token in enumerate(SPECIAL)}


@pytest.mark.parametrize(
    ("files", "stops"),
    [
        pytest.param({"tokenizer_config.json": {"eos_token": "</s>"}}, ("</s>",), id="tokenizer-config"),
        pytest.param({"tokenizer_config.json": {"eos_token": {"content": "</s>"}}}, ("</s>",), id="added-token"),
        pytest.param(
            {"tokenizer_config.json": {"eos_token": "</s>"}, "generation_config.json": {"eos_token_id": [3, 1]}},
            ("</s>", "<|im_end|>"),
            id="generation-config-too",
        ),
        pytest.param(
            {"tokenizer_config.json": {}, "config.json": {"eos_token_id": 3}}, ("<|im_end|>",), id="model-config-alone"
        ),
        pytest.param(
            {"tokenizer_config.json": {}, "special_tokens_map.json": {"eos_token": "</s>"}}, ("</s>",), id="older-file"
        ),
        pytest.param(
            {
                "tokenizer_config.json": {"eos_token": "<|im_end|>", "added_tokens_decoder": {}},
                "special_tokens_map.json": {"eos_token": "</s>"},
            },
            ("<|im_end|>",),
            id="older-file-overruled",
        ),
        pytest.param(
            {"tokenizer_config.json": {"eos_token": "</s>"}, "config.json": {"eos_token_id": [None, "x", 10**9, 60]}},
            ("</s>",),
            id="what-is-no-token-or-an-ordinary-one-is-left-out",
        ),
    ],
)
def test_stop_tokens_come_from_every_config(tmp_path: Path, files: dict[str, Any], stops: tuple[str, ...]) -> None:
    folder = write_tokenizer(tmp_path, template=None)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    tokenizer = TextTokenizer.load(folder)
    assert tokenizer.stop_texts == stops
    assert tokenizer.stop_token_ids == tuple(IDS[s] for s in stops)


def test_padding_falls_back_to_the_stop_token(tmp_path: Path) -> None:
    own = TextTokenizer.load(write_tokenizer(tmp_path / "own", config={"eos_token": "</s>", "pad_token": "<pad>"}))
    none = TextTokenizer.load(write_tokenizer(tmp_path / "none", config={"eos_token": "</s>"}))
    unknown = TextTokenizer.load(
        write_tokenizer(tmp_path / "gone", config={"eos_token": "</s>", "pad_token": "<gone>"})
    )
    assert (own.pad_token_id, none.pad_token_id, unknown.pad_token_id) == (IDS["<pad>"], IDS["</s>"], IDS["</s>"])


@pytest.mark.parametrize(("start", "ids"), [("<s>", (0,)), (None, ())], ids=["post-processor", "none"])
def test_a_plain_text_begins_as_the_post_processor_has_it(
    tmp_path: Path, start: str | None, ids: tuple[int, ...]
) -> None:
    assert TextTokenizer.load(write_tokenizer(tmp_path, start=start)).start_ids == ids


def test_a_special_token_that_the_vocabulary_has_as_a_word_is_cut_out_whole(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "sky": 2}))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}', encoding="utf-8")
    assert TextTokenizer.load(tmp_path).encode("sky</s>") == (2, 1)


def test_a_tokenizer_that_takes_no_unknown_word_is_refused(tmp_path: Path) -> None:
    Tokenizer(models.WordLevel({"</s>": 1})).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}', encoding="utf-8")
    assert refused(tmp_path).startswith(f"{tmp_path}: its tokenizer takes no text (WordLevel error: ")


def test_a_template_in_the_config_and_in_a_list_counts(tmp_path: Path) -> None:
    for chat_template in ("config", [{"name": "rag", "template": "rag"}, {"name": "default", "template": "config"}]):
        config = {"eos_token": "</s>", "chat_template": chat_template}
        assert rendered(write_tokenizer(tmp_path, template=None, config=config)) == "config"
    (tmp_path / "chat_template.jinja").write_text("file", encoding="utf-8")
    assert rendered(tmp_path) == "file"


def rendered(folder: Path) -> str:
    """One question through a folder's template."""
    chat = TextTokenizer.load(folder).chat
    assert chat is not None
    return chat.render([Message("user", "q")], ask=True)


@pytest.mark.parametrize("template", [None, ""], ids=["absent", "empty"])
def test_a_model_may_have_no_template(tmp_path: Path, template: str | None) -> None:
    assert TextTokenizer.load(write_tokenizer(tmp_path, template=template)).chat is None


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("{{ raise_exception('no system turn') }}", id="refused"),
        pytest.param("{{ messages[7].content.strip() }}", id="undefined"),
        pytest.param("{{ messages[0].content + 1 }}", id="type"),
        pytest.param("{{ 1 / 0 }}", id="arithmetic"),
        pytest.param("{{ messages.__class__.__mro__ }}", id="unsafe"),
        pytest.param("{{ messages[0].content | tojson(indent='x' * 2, cls=3) }}", id="filter"),
    ],
)
def test_whatever_a_template_raises_is_a_fault_of_the_row(tmp_path: Path, template: str) -> None:
    folder = write_tokenizer(tmp_path, template=template)
    with pytest.raises(RowError, match=r"^the model's chat template refuses this conversation: "):
        rendered(folder)


def metaspace(folder: Path) -> TextTokenizer:
    """A tokenizer that puts a white space before the first word, as SentencePiece does."""
    special = ["<unk>", "<s>", "</s>"]
    letters = sorted(set("the sky is blue, the rose is red\n[INST] yes [/INST] <>\u2581"))
    merges = [("h", "e"), ("t", "he"), ("\u2581", "the"), ("\u2581", "b")]
    words = [*special, *letters, *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=merges))
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "</s>"}', encoding="utf-8")
    return TextTokenizer.load(folder)


@pytest.fixture(scope="module", params=["byte-level", "metaspace"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    """Tokenizers of both great families."""
    make: Callable[[Path], TextTokenizer] = metaspace
    if request.param == "byte-level":
        return TextTokenizer.load(write_tokenizer(tmp_path_factory.mktemp("byte"), config={"eos_token": "</s>"}))
    return make(tmp_path_factory.mktemp("meta"))


PIECES = [
    pytest.param(["<s>[INST] the sky [/INST]", " blue</s>"], id="answer-with-a-space"),
    pytest.param(["<s>the sky</s>", "is blue", " the rose</s>", "the rose"], id="turns"),
    pytest.param(["the", " sky", " is", " blue"], id="words"),
    pytest.param(["<s>", "the sky", "</s>", "<s>", "blue</s>"], id="marks-apart"),
    pytest.param(["", "the sky", "", "</s>", ""], id="empty-pieces"),
]


@pytest.mark.parametrize("pieces", PIECES)
def test_pieces_give_the_ids_of_the_whole_text(either: TextTokenizer, pieces: list[str]) -> None:
    writer = IdWriter(either)
    for piece in pieces:
        writer.write(piece)
    assert tuple(writer.ids) == either.encode("".join(pieces))


def test_what_was_written_stays_where_a_token_would_reach_over_the_cut(chatml: TextTokenizer) -> None:
    whole = chatml.encode("a\n\n")
    before = chatml.encode("a\n")
    assert whole[: len(before)] != before
    writer = IdWriter(chatml)
    writer.write("a\n")
    writer.write("\n")
    assert tuple(writer.ids) == before + chatml.encode("\n")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("aä \n<s>/\u0301☃"), max_size=5) | st.sampled_from(["</s>", "<s>"]), max_size=6)
)
def test_any_pieces_keep_their_text(chatml: TextTokenizer, pieces: list[str]) -> None:
    writer = IdWriter(chatml)
    for piece in pieces:
        writer.write(piece)
    assert text_of(chatml, writer.ids) == "".join(pieces)
