"""Values that are made when they are first asked for."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, overload

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class Remembered(dict[K, V]):
    """Values by key, each made when it is first looked up; it costs less to set up than functools.cache."""

    def __init__(self, make: Callable[[K], V]) -> None:
        """Promise what that makes of a key."""
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        """Make it, and keep it."""
        found = self[key] = self._make(key)
        return found


class Deferred(Sequence[T]):
    """A sequence that is made, once, when it is first looked at; equal to whatever has the same items in that order."""

    __slots__ = ("_items", "_make")

    def __init__(self, make: Callable[[], tuple[T, ...]]) -> None:
        """Promise what that makes."""
        self._make = make
        self._items: tuple[T, ...] | None = None

    @property
    def items(self) -> tuple[T, ...]:
        """All of them."""
        if self._items is None:
            self._items = self._make()
        return self._items

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        """As of a tuple."""
        return self.items[index]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        """In their order."""
        return iter(self.items)

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same items."""
        return tuple(other) == self.items if isinstance(other, tuple | Deferred) else NotImplemented

    def __hash__(self) -> int:
        """As of the tuple."""
        return hash(self.items)

    def __repr__(self) -> str:
        """As of the tuple."""
        return repr(self.items)
