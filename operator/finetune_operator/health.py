"""Whether this process is well (/healthz), of use (/readyz), and what it has done (/metrics)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

Check = Callable[[], str | None]
"""None where all is well, else a sentence."""

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def make_app(alive: Mapping[str, Check], ready: Mapping[str, Check], registry: CollectorRegistry) -> web.Application:
    """The three pages.

    Args:
        alive: checks that only a restart can mend.
        ready: checks that mend themselves.
        registry: what is counted.
    """

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": METRICS_TYPE})

    app = web.Application()
    app.router.add_get("/healthz", _page(alive))
    app.router.add_get("/readyz", _page(ready))
    app.router.add_get("/metrics", metrics)
    return app


def _page(checks: Mapping[str, Check]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        said = {name: check() for name, check in checks.items()}
        bad = {name: sentence for name, sentence in said.items() if sentence is not None}
        lines = [f"{name}: {sentence or 'ok'}" for name, sentence in said.items()]
        return web.Response(text="\n".join([*lines, ""]), status=503 if bad else 200)

    return answer
