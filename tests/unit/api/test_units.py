"""Bytes, durations and counts as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator import units
from finetune_operator.units import GIB, KIB, MIB


@pytest.mark.parametrize(
    ("text", "count"),
    [("24GiB", 24 * GIB), ("24Gi", 24 * GIB), (" 1.5 GiB ", 3 * GIB // 2), ("512MiB", 512 * MIB), ("8KiB", 8 * KIB),
     ("2TiB", 2048 * GIB), ("0GiB", 0)],
)  # fmt: skip
def test_memory_is_read_with_its_binary_unit(text: str, count: int) -> None:
    assert units.parse_memory(text) == count


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("24", '"24" has no unit; write "24GiB"'),
        ("24GB", '"24GB" is a decimal unit; memory is counted in binary units here: write "24GiB"'),
        ("900 mb", '"900 mb" is a decimal unit; memory is counted in binary units here: write "900MiB"'),
        ("24gib", '"24gib" has the unknown unit gib; write for example "24GiB"'),
        ("lots", '"lots" is not a memory size; write for example "24GiB"'),
        ("-1GiB", '"-1GiB" is not a memory size; write for example "24GiB"'),
        ("9" * 400 + "GiB", f'"{"9" * 400}GiB" is not a memory size; write for example "24GiB"'),
        ("", '"" is not a memory size; write for example "24GiB"'),
    ],
)
def test_memory_without_a_binary_unit_is_refused_with_what_to_write(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="write") as caught:
        units.parse_memory(text)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("count", "status", "sentence"),
    [
        pytest.param(0, "0MiB", "0.00 GiB", id="nothing"),
        pytest.param(300 * MIB, "300MiB", "0.29 GiB", id="below-one"),
        pytest.param(GIB - 1, "1.0GiB", "1.0 GiB", id="just-below-one"),
        pytest.param(GIB, "1.0GiB", "1.0 GiB", id="one"),
        pytest.param(round(21.44 * GIB), "21.4GiB", "21.4 GiB", id="many"),
    ],
)
def test_memory_is_written_with_its_unit(count: int, status: str, sentence: str) -> None:
    assert (units.format_memory(count), units.gib(count)) == (status, sentence)


@given(st.integers(min_value=0, max_value=2**50))
def test_written_memory_reads_as_nearly_the_same(count: int) -> None:
    assert abs(units.parse_memory(units.format_memory(count)) - count) <= max(MIB / 2, 0.05 * GIB)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h15m", 8100), ("90m", 5400), ("45s", 45), ("1h1m1s", 3661), ("1h5s", 3605), ("0s", 0), ("36h", 129_600)],
)
def test_durations_are_read_in_go_style(text: str, seconds: int) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "2d", "1.5h", "-1h", "15m2h", "2h 15m", "2H", "h"])
def test_what_is_no_duration_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write") as caught:
        units.parse_duration(text)
    assert str(caught.value) == f'"{text}" is not a duration; write for example "2h15m"'


@given(st.integers(min_value=0, max_value=10**8))
def test_written_durations_read_as_nearly_the_same(seconds: int) -> None:
    assert 0 <= seconds - units.parse_duration(units.format_duration(seconds)) < 60


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (45, "45s"), (59.6, "1m0s"), (190, "3m10s"), (3599.6, "1h0m"), (8100, "2h15m"), (-3, "0s")],
)
def test_durations_are_written_in_go_style(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (89, "89 s"), (89.4, "89 s"), (90, "2 min"), (22 * 60, "22 min"), (3.4 * 3600, "3.4 h"),
     (50 * 3600, "2.1 d")],
)  # fmt: skip
def test_durations_for_people_have_one_unit(seconds: float, text: str) -> None:
    assert units.human_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (950, "950"), (999.7, "1.0 k"), (4_884_480, "4.9 M"), (40e6, "40.0 M"), (134_515_008, "135 M"),
     (999_960, "1.0 M"), (7_615_616_512, "7.6 B"), (1.2e13, "12.0 T")],
)  # fmt: skip
def test_counts_are_written_to_two_or_three_digits(count: float, text: str) -> None:
    assert units.human_count(count) == text
