"""Rows that are nearly the same: found whatever their order and place, and others aren't."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.data.check.similarity import BINS, MIN_BYTES, earlier_likes, signatures

DRAW = random.Random(7)  # noqa: S311  texts, not secrets
WORDS = ["".join(DRAW.choices("abcdefghijklmnop", k=DRAW.randint(2, 9))) for _ in range(3000)]


def texts(count: int, words: int = 40) -> list[bytes]:
    return [" ".join(DRAW.choices(WORDS, k=words)).encode() for _ in range(count)]


def changed(text: bytes, words: int) -> bytes:
    parts = text.split()
    for place in DRAW.sample(range(len(parts)), words):
        parts[place] = b"other"
    return b" ".join(parts)


def likes(found: Sequence[bytes]) -> list[int]:
    return [int(n) for n in earlier_likes(signatures(found))]


def test_the_same_text_again_is_found_at_its_first_place() -> None:
    a, b = texts(2)
    assert likes([a, b, a, b, a]) == [-1, -1, 0, 1, 0]


def test_a_word_in_forty_is_nearly_the_same_and_half_of_them_is_not() -> None:
    whole = texts(200)
    near = likes([*whole, *(changed(t, 1) for t in whole)])[200:]
    assert sum(n == i for i, n in enumerate(near)) >= 195
    assert likes([*whole, *(changed(t, 20) for t in whole)]) == [-1] * 400


def test_different_texts_are_not_alike() -> None:
    assert likes(texts(500)) == [-1] * 500


def test_short_texts_are_not_compared() -> None:
    assert likes([b"yes", b"yes", b"x" * (MIN_BYTES - 1), b"x" * (MIN_BYTES - 1), b""]) == [-1] * 5


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_signature_does_not_depend_on_what_is_signed_with_it(size: int) -> None:
    whole = [*texts(30), b"", b"short", *texts(10, words=300)]
    together = signatures(whole)
    parts = np.concatenate([signatures(whole[i : i + size]) for i in range(0, len(whole), size)])
    assert (together == parts).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=90), max_size=6))
def test_any_bytes_have_a_signature(found: list[bytes]) -> None:
    made = signatures(found)
    assert made.shape == (len(found), BINS)
    assert len(earlier_likes(made)) == len(found)


def test_many_alike_rows_are_each_told_once() -> None:
    (text,) = texts(1)
    assert likes([changed(text, 1) for _ in range(300)]).count(-1) <= 15
