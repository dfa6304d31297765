"""How often something is done for one object."""

from datetime import UTC, datetime, timedelta

from finetune_operator.reconciler.pace import Pace

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EVERY = timedelta(seconds=15)


def test_each_object_has_its_own_turn() -> None:
    pace = Pace(EVERY)
    assert [pace.allows(uid, NOW) for uid in ("a", "b", "a")] == [True, True, False]
    assert not pace.allows("a", NOW + timedelta(seconds=14))
    assert pace.allows("a", NOW + EVERY)
    assert not pace.allows("a", NOW + EVERY)


def test_what_was_done_longest_ago_is_forgotten() -> None:
    pace = Pace(EVERY, most=2)
    for uid in ("a", "b", "c"):
        pace.allows(uid, NOW)
    assert [pace.allows(uid, NOW) for uid in ("c", "a")] == [False, True]
