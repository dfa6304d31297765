"""The operator from its start to its end."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from finetune_operator.config import InvalidSettingsError, LogFormat, Settings, read_settings
from finetune_operator.factory import MakeLogic, Parts, make_parts
from finetune_operator.handlers.watch import WatchEndedError, watch
from finetune_operator.kube.errors import KubeError
from finetune_operator.kube.lease import LeaseLostError
from finetune_operator.kube.tasks import first_end
from finetune_operator.logs import configure

_log: Final = logging.getLogger(__name__)

WATCH_ENDS_SECONDS: Final = 15
"""How long the watch may take to end; after it, it is cut off with the process."""

COLLECT_AFTER: Final = 20_000
"""Objects that are made and not freed until Python looks for cycles among them; its default is 700."""

BAD_SETTINGS: Final = 2
"""Exit code, as of every command line."""


def main(arguments: list[str], make_logic: MakeLogic) -> int:
    """Run until asked to stop; the exit code."""
    try:
        settings = read_settings(arguments)
        if settings.leader_election:
            settings.namespace_of_lease()
    except InvalidSettingsError as e:
        sys.stderr.write(f"{e}\n")
        return BAD_SETTINGS
    configure(settings.log_level, as_json=settings.log_format is LogFormat.JSON)
    try:
        asyncio.run(run(settings, make_logic))
    except (KubeError, LeaseLostError, WatchEndedError, OSError) as e:
        _log.critical("Ending: %s", e)
        return 1
    return 0


async def run(settings: Settings, make_logic: MakeLogic) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        KubeError: the API server can't be reached, or refuses what nothing works without.
        LeaseLostError: another process may lead by now.
        WatchEndedError: nobody tells of changes any more.
        OSError: the port is in use.
    """
    stop = asyncio.Event()
    take_signals(stop)
    async with make_parts(settings, make_logic) as parts, _served(parts):
        await first_end(stop.wait(), _operate(parts, stop))
    _log.info("Ended as asked")


def take_signals(stop: asyncio.Event) -> None:
    """Let SIGTERM and Ctrl-C ask for the end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _operate(parts: Parts, stop: asyncio.Event) -> None:
    await parts.mirror.fill()
    collect_less()
    _log.info("Listed %s", ", ".join(kind.plural for kind in parts.mirror.scope.kinds))
    works = [_watch(parts, stop), parts.work(), parts.mirror.keep_filled(parts.settings.resync)]
    fresh = parts.connection.keeps_fresh
    await first_end(*works, *([_for_ever(fresh)] if fresh is not None else []))


def collect_less() -> None:
    """Have Python look for cycles less often, and never among what is there at the start.

    Nearly all that is made here is freed when it is let go; by default a tenth of a busy operator's time goes into
    looking at it all the same.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


async def _watch(parts: Parts, stop: asyncio.Event) -> None:
    ready, unwatch = asyncio.Event(), asyncio.Event()
    watching = asyncio.create_task(watch(parts.mirror, parts.connection.configuration, ready=ready, stop=unwatch))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait([watching, waiting], return_when=asyncio.FIRST_COMPLETED)
        # kopf takes the signals for itself as it starts; it is to end last
        take_signals(stop)
        await asyncio.shield(watching)
        raise WatchEndedError("nobody tells of changes in the cluster any more")
    finally:
        unwatch.set()
        waiting.cancel()
        await asyncio.wait([watching], timeout=WATCH_ENDS_SECONDS)


async def _for_ever(work: Coroutine[Any, Any, None]) -> None:
    """It may have nothing to do, and that ends nothing."""
    await work
    await asyncio.Event().wait()


@asynccontextmanager
async def _served(parts: Parts) -> AsyncIterator[None]:
    runner = web.AppRunner(parts.health(), handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, parts.settings.health_host, parts.settings.health_port).start()
        yield
    finally:
        await runner.cleanup()
