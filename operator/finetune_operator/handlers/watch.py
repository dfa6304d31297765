"""kopf as the watch layer: every event goes to the mirror, and nothing is decided or written here."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import kopf
from kubernetes.aio.client.configuration import Configuration

from finetune_operator.constants import GROUP
from finetune_operator.kube.client import FIELD_MANAGER
from finetune_operator.kube.kinds import Kind, Object
from finetune_operator.kube.mirror import SELECTORS, Mirror

_RETRIES: Final = (0.5, 1, 2, 4, 8)
"""Seconds between tries of a request; a missing right is retried like a dead server, for a minute by default."""

_IDENTITY: Final[Any] = FIELD_MANAGER
"""Among peers, of whom there are none: who leads is told by our own Lease."""


class WatchEndedError(Exception):
    """The watch ended although nobody asked it to."""


async def watch(mirror: Mirror, configuration: Configuration, *, ready: asyncio.Event, stop: asyncio.Event) -> None:
    """Watch until told to stop; sets `ready` when signals may be taken over from kopf.

    What one of kopf's operators watches is all in the same namespaces: where jobs are looked after in some alone there
    are two of them, since devices are counted in all.

    Raises:
        WatchEndedError: the API server couldn't be reached for long, refused, or broke off with an error.
    """
    scope = mirror.scope
    parts: dict[tuple[str, ...], list[Kind]] = {}
    for kind in scope.kinds:
        parts.setdefault(scope.places(kind), []).append(kind)
    flags = [asyncio.Event() for _ in parts]
    watches = (
        _watch_kinds(mirror, tuple(kinds), places, configuration, flag, stop)
        for flag, (places, kinds) in zip(flags, parts.items(), strict=True)
    )
    await asyncio.gather(_all_set(flags, ready), *watches)


async def _all_set(flags: Iterable[asyncio.Event], then: asyncio.Event) -> None:
    for flag in flags:
        await flag.wait()
    then.set()


async def _watch_kinds(
    mirror: Mirror,
    kinds: tuple[Kind, ...],
    places: tuple[str, ...],
    configuration: Configuration,
    ready: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    everywhere = places == ("",)
    try:
        await kopf.operator(
            registry=make_registry(mirror, kinds, configuration),
            settings=make_settings(kinds),
            # kopf would make one up of the user's name, which a container's user has none of
            identity=_IDENTITY,
            standalone=True,
            clusterwide=everywhere,
            namespaces=() if everywhere else places,
            ready_flag=ready,
            stop_flag=stop,
        )
    except Exception as e:
        # it ends at whatever the server says in the middle of a watch but 410, and takes each task that was begun
        # after it along: only another process can go on
        raise WatchEndedError(f"changes in the cluster can't be watched any more: {e}") from e
    finally:
        # half a watch is none
        ready.set()
        stop.set()


def make_registry(mirror: Mirror, kinds: tuple[Kind, ...], configuration: Configuration) -> kopf.OperatorRegistry:
    """One handler a kind, and one that says who we are."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(id="login", registry=registry)(_login(configuration))
    for kind in kinds:
        kopf.on.event(*kind.selector, id=kind.plural, registry=registry)(_handler(mirror, kind))
    return registry


def make_settings(kinds: tuple[Kind, ...]) -> kopf.OperatorSettings:
    """Nothing is written by kopf: no annotations, finalizers, events or peering."""
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.execution.max_workers = 4
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _RETRIES
    settings.watching.server_timeout = 290
    settings.watching.connect_timeout = 10
    settings.watching.reconnect_backoff = 1.0
    settings.watching.chunk_size = 500
    settings.queueing.idle_timeout = 1.0
    settings.persistence.consistency_timeout = 0
    settings.persistence.finalizer = f"{GROUP}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = _NoDiffs()
    for kind in kinds:
        if SELECTORS[kind]:
            settings.watching.label_selectors[kind.selector] = SELECTORS[kind]
    return settings


class _NoDiffs(kopf.DiffBaseStorage):
    """kopf would copy each object whole to compare it with what it kept of it; nothing here is interested."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        pass


def _handler(mirror: Mirror, kind: Kind) -> Any:
    async def seen(event: kopf.RawEvent, **_: Any) -> None:
        obj: Object = {"apiVersion": kind.api_version, "kind": kind.kind, **event["object"]}
        mirror.observe(kind, event["type"] or "", obj)

    return seen


def _login(configuration: Any) -> Any:
    async def login(**_kwargs: Any) -> kopf.ConnectionInfo:
        # asked for anew at each login: tokens of service accounts change
        credentials = await configuration.get_api_key_with_prefix("BearerToken")
        scheme, _, token = (credentials or "").partition(" ")
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            scheme=scheme.capitalize() or None,
            token=token or None,
            proxy_url=configuration.proxy,
        )

    return login
