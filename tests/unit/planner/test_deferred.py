"""Values that are made when they are first looked at."""

from finetune_operator.planner.deferred import Deferred, Remembered


def test_it_is_made_once_and_not_before_it_is_asked_for() -> None:
    made: list[int] = []

    def make() -> tuple[int, ...]:
        made.append(1)
        return (3, 4)

    found = Deferred(make)
    assert made == []
    assert (found[0], found[1:], len(found), list(found), 4 in found) == (3, (4,), 2, [3, 4], True)
    assert made == [1]


def test_it_equals_the_same_items_in_the_same_order() -> None:
    found = Deferred(lambda: (3, 4))
    assert found == (3, 4)
    assert found == Deferred(lambda: (3, 4))
    assert found != (4, 3)
    assert found != [3, 4]
    assert (hash(found), repr(found)) == (hash((3, 4)), "(3, 4)")


def test_a_value_is_made_once_for_each_key_that_is_looked_up() -> None:
    made: list[int] = []

    def double(key: int) -> int:
        made.append(key)
        return 2 * key

    found = Remembered(double)
    assert [found[3], found[4], found[3]] == [6, 8, 6]
    assert made == [3, 4]
