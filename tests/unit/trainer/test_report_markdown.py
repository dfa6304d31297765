"""Model outputs may hold anything: the text is given to a real Markdown parser."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from finetune_trainer.report.markdown import cell, code, escape, table, visible

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])

HOSTILE = (
    "a | b \\| c",
    "`code` ``two`` <b>bold</b> <script>x</script> &amp; &lt;",
    "![image](http://x/y.png) [link](http://x) [ref][1] <http://x>",
    "**bold** *em* __bold__ _em_ snake_case _ ~~gone~~ $x_1$",
    "# heading",
    "- item\n+ item\n1. item\n> quote\n\n---\n\n```\nfence\n```",
    "tab\tand   spaces\r\nline\x0bline\x85line\u2028line",
    "\x00\x1b[31mred\x1b[0m \u202eright to left",
    "| --- |\n| --- |",
    "\\",
    "x\\",
)


def cells_of(markdown: str) -> list[Token]:
    tokens = PARSER.parse(markdown)
    return [t for t in tokens if t.type == "inline"]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
@example("|")
def test_any_text_is_one_cell_that_shows_it(text: str) -> None:
    held_against(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_that_looks_like_markup_is_one_cell_that_shows_it(text: str) -> None:
    held_against(text)


def held_against(text: str) -> None:
    rendered = table(("first", "second"), [(f"x{escape(text)}x", "last")])
    assert PARSER.parse(rendered)[0].type == "table_open"
    found = cells_of(rendered)
    assert len(found) == 4
    children = found[2].children or []
    assert {t.type for t in children} <= {"text", "text_special"}
    shown = "".join(t.content for t in children)
    assert shown == f"x{visible(text)}x"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("two\nlines", "two ⏎ lines", id="line-end"),
        pytest.param("a\r\nb\rc\u2028d\x85e", "a ⏎ b ⏎ c ⏎ d ⏎ e", id="every-line-end"),
        pytest.param("  a \t b  ", "a b", id="spaces"),
        pytest.param("\x1b[31m", "⟨U+001B⟩[31m", id="terminal-colour"),
        pytest.param("\u202eabc", "⟨U+202E⟩abc", id="direction"),
        pytest.param("\ud800", "⟨U+D800⟩", id="half-a-character"),
        pytest.param("a\u200cb 👩\u200d🔬", "a\u200cb 👩\u200d🔬", id="joiners-stay"),
    ],
)
def test_what_can_not_be_seen_is_made_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("", "*empty*", id="empty"),
        pytest.param(" \n ", "*3 blank characters*", id="blank"),
        pytest.param("abcd", "abcd", id="as-long-as-allowed"),
        pytest.param("abcde", "abcd … *(1 more characters)*", id="one-too-many"),
        pytest.param("a|" * 50_000, "a&#124;a&#124; … *(99,996 more characters)*", id="huge"),
        pytest.param("adapter_config", "adap … *(10 more characters)*", id="cut"),
    ],
)
def test_a_cell_is_short(text: str, shown: str) -> None:
    assert cell(text, 4) == shown


def test_an_underscore_inside_a_word_stays_readable() -> None:
    assert escape("adapter_config.json _x_") == "adapter_config.json &#95;x&#95;"


@pytest.mark.parametrize("text", ["print(1)", "```\nfence\n```", "`" * 7, "~~~\nx\n~~~"])
def test_code_can_not_close_its_own_fence(text: str) -> None:
    tokens = PARSER.parse(f"{code(text, 'python')}\n\nafter")
    assert [t.type for t in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert tokens[0].content == f"{text}\n"
