"""What the operator asks of an API server: dicts in, dicts out, 404 is None, every refusal a KubeError."""

from enum import StrEnum
from typing import Final, Protocol

from finetune_operator.kube.kinds import Key, Kind, Object

FIELD_MANAGER: Final = "finetune-operator"
"""Who owns the fields we apply; under another name, fields that we no longer write would stay for ever."""


class Propagation(StrEnum):
    """What happens to what an object owns when it is deleted."""

    BACKGROUND = "Background"
    """The object goes at once, what it owns afterwards."""
    FOREGROUND = "Foreground"
    """The object stays, with a deletionTimestamp, until what it owns is gone."""


class Client(Protocol):
    """An API server.

    Every method raises KubeError; those of the class ApiError carry the server's own words.
    """

    async def serves(self, kind: Kind) -> bool:
        """Whether the server has that kind, in that version."""

    async def get(self, kind: Kind, key: Key) -> Object | None:
        """The object, or None where there is none."""

    async def list_all(self, kind: Kind, *, namespace: str = "", selector: str = "") -> list[Object]:
        """All objects of a kind, in one namespace or in all, whose labels match; whole, with apiVersion and kind."""

    async def apply(self, kind: Kind, obj: Object) -> Object:
        """Server-side apply: make it, or make our fields of it so; other writers' fields stay.

        With metadata.uid only that very object is changed. Says back what is stored.

        Raises:
            ConflictError: metadata.uid is that of an object that is gone.
            InvalidError: the object is refused, for instance because the field can't be changed.
        """

    async def apply_status(self, kind: Kind, obj: Object) -> Object | None:
        """Server-side apply of the status alone; None where the object is gone or, given metadata.uid, is another.

        The status is given whole: fields of an earlier one that are missing now are removed.
        """

    async def create(self, kind: Kind, obj: Object) -> Object:
        """Make a new object and say back what is stored.

        Raises:
            AlreadyExistsError: an object of that name is there.
            NotFoundError: the namespace isn't there.
        """

    async def replace(self, kind: Kind, obj: Object) -> Object | None:
        """Write the object whole, provided that its metadata.resourceVersion is still current; None where it is gone.

        With the uid that was read: of some kinds the server makes an object that is gone anew otherwise.

        Raises:
            ConflictError: somebody changed it first.
        """

    async def delete(
        self, kind: Kind, key: Key, *, uid: str, propagation: Propagation = Propagation.BACKGROUND
    ) -> bool:
        """Delete that very object; False where it is gone already, also where another has its name by now."""

    async def read_log(self, pod: Key, container: str, *, tail_lines: int, limit_bytes: int) -> str | None:
        """The last lines that a container has written; None where it has no log: not started yet, or pod gone.

        Raises:
            ForbiddenError: reading logs isn't granted.
        """
