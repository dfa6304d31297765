"""Watches that cost little: metadata alone, or the columns that a person sees."""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any, Final, NoReturn

import aiohttp
from kubernetes.aio.client.configuration import Configuration

from finetune_operator.kube.kinds import Kind

AGAIN: Final = 0.5
"""Seconds until a watch that was ended is begun anew."""


class Sort(StrEnum):
    """How objects are told."""

    METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def watch(
    server: Configuration, kind: Kind, namespace: str, sort: Sort, told: Callable[[Mapping[str, Any]], None]
) -> NoReturn:
    """Tell of each object that is there, or comes, or changes, until cancelled; begun anew where the server ends it."""
    context = ssl.create_default_context(cafile=server.ssl_ca_cert)
    context.load_cert_chain(str(server.cert_file), str(server.key_file))
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    url = f"{server.host}{root}/namespaces/{namespace}/{kind.plural}"
    endless = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=endless, read_bufsize=1 << 22) as session:
        while True:
            request = session.get(url, params={"watch": "true"}, headers={"Accept": sort}, ssl=context)
            # a busy server drops watches, and asks to be left alone
            with suppress(aiohttp.ClientError):
                async with request as answer:
                    answer.raise_for_status()
                    await _read(answer, told, sort)
            await asyncio.sleep(AGAIN)


async def _read(answer: aiohttp.ClientResponse, told: Callable[[Mapping[str, Any]], None], sort: Sort) -> None:
    columns: list[str] = []
    async for line in answer.content:
        event = json.loads(line)
        if event["type"] == "ERROR":
            return
        if sort is Sort.METADATA:
            told(event["object"])
            continue
        # the columns are named once
        columns = [c["name"].lower() for c in event["object"].get("columnDefinitions") or ()] or columns
        for row in event["object"]["rows"]:
            told({**dict(zip(columns, row["cells"], strict=True)), "metadata": row["object"]["metadata"]})
