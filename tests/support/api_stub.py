"""An HTTP server that answers what a test tells it to, for the faults that a real API server doesn't show on demand."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from finetune_operator.kube.rest import RestClient


@dataclass
class Call:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Stub:
    """What was asked, and what will be answered."""

    answers: list[web.Response] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    url: str = ""

    def will(self, body: object, status: int = 200, **headers: str) -> None:
        """Answer one more request so."""
        text = body if isinstance(body, str) else json.dumps(body)
        self.answers.append(
            web.Response(text=text, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})
        )

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.text()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append(
            Call(request.method, request.path, dict(request.query), headers, json.loads(body) if body else None)
        )
        if not self.answers:
            # nothing to say: the connection is cut, as by a server that dies
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        return self.answers.pop(0)


@asynccontextmanager
async def stub_server() -> AsyncIterator[Stub]:
    """A server on a port of its own."""
    stub = Stub()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.answer)
    async with TestServer(app) as server:
        stub.url = str(server.make_url("")).rstrip("/")
        yield stub


@asynccontextmanager
async def client_of(stub: Stub, **options: Any) -> AsyncIterator[RestClient]:
    """A client of that server."""
    configuration = Configuration(host=stub.url)
    configuration.api_key["BearerToken"] = "Bearer secret"
    client = RestClient(configuration, **options)
    try:
        yield client
    finally:
        await client.close()
