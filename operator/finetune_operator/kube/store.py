"""What the cluster looked like when it last told us: filled by watches, lists and the answers to our own writes."""

from collections import defaultdict
from collections.abc import Iterable

from finetune_operator.kube.kinds import Key, Kind, Object, key_of, uid_of

DELETED = "DELETED"
"""The change that takes an object away; every other one puts it there."""


class Store:
    """The newest known state of each object.

    Objects are shared, never copied: readers don't change them. What is older than what is known is left out, so that a
    late event doesn't undo what the answer to our own write has said.
    """

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Key, Object]] = defaultdict(dict)
        self._owned: dict[tuple[Kind, str], set[Key]] = defaultdict(set)
        self._seen: dict[tuple[Kind, Key], int] = {}
        self._gone: dict[str, int] = {}
        self._clock = 0

    def get(self, kind: Kind, key: Key) -> Object | None:
        """The object as it was last seen."""
        return self._objects[kind].get(key)

    def all_of(self, kind: Kind) -> list[Object]:
        """Every object of a kind."""
        return list(self._objects[kind].values())

    def owned_by(self, kind: Kind, uid: str) -> list[Object]:
        """The objects of a kind that name that owner, by their names."""
        return [self._objects[kind][key] for key in sorted(self._owned.get((kind, uid), ()))]

    def observe(self, kind: Kind, change: str, obj: Object) -> Object | None:
        """Take in what a watch or an answer says; says back what was known before, whatever came of it."""
        key = key_of(obj)
        old = self._objects[kind].get(key)
        self._clock += 1
        if change == DELETED:
            self._gone[uid_of(obj)] = self._clock
            if old is not None and uid_of(old) == uid_of(obj):
                self._forget(kind, key, old)
        elif uid_of(obj) not in self._gone and not _is_older(obj, old):
            self._keep(kind, key, obj, old)
        return old

    def mark(self) -> int:
        """A point in time; take it before a list is asked for."""
        return self._clock

    def replace_all(self, kind: Kind, listed: Iterable[Object], *, since: int) -> list[Object]:
        """Make a kind what a list says, but for what was heard since it was asked for.

        Returns:
            The objects that are gone without an event having said so.
        """
        objects = {key_of(obj): obj for obj in listed}
        unheard = [
            (key, obj)
            for key, obj in self._objects[kind].items()
            if self._seen[kind, key] <= since and (key not in objects or uid_of(objects[key]) != uid_of(obj))
        ]
        for key, obj in unheard:
            self._forget(kind, key, obj)
        for obj in objects.values():
            self.observe(kind, "", obj)
        return [obj for _, obj in unheard]

    def forget_gone(self, *, before: int) -> None:
        """Drop what is remembered of deleted objects; after every list that was asked for before them has come in."""
        self._gone = {uid: at for uid, at in self._gone.items() if at > before}

    def _keep(self, kind: Kind, key: Key, obj: Object, old: Object | None) -> None:
        if old is not None:
            self._forget(kind, key, old)
        self._objects[kind][key] = _without_noise(obj)
        self._seen[kind, key] = self._clock
        for uid in _owners(obj):
            self._owned[kind, uid].add(key)

    def _forget(self, kind: Kind, key: Key, obj: Object) -> None:
        del self._objects[kind][key], self._seen[kind, key]
        for uid in _owners(obj):
            keys = self._owned[kind, uid]
            keys.discard(key)
            if not keys:
                del self._owned[kind, uid]


def _owners(obj: Object) -> list[str]:
    return [owner["uid"] for owner in obj["metadata"].get("ownerReferences") or []]


def _is_older(obj: Object, known: Object | None) -> bool:
    if known is None or uid_of(known) != uid_of(obj):
        return False
    return int(obj["metadata"]["resourceVersion"]) < int(known["metadata"]["resourceVersion"])


def _without_noise(obj: Object) -> Object:
    """Who wrote which field is half of an object's size, and nothing here reads it."""
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"}}
