"""Log lines, one JSON object each, with the object that is worked on and the id of the pass."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from finetune_operator.kube.worker import CURRENT


class _Line(JsonFormatter):
    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        moment = datetime.fromtimestamp(record.created, UTC)
        log_data["time"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        log_data["level"] = record.levelname.lower()
        log_data["logger"] = record.name
        log_data["message"] = record.getMessage()
        current = CURRENT.get()
        if current is not None:
            log_data["object"] = {"namespace": current.key[0], "name": current.key[1]}
            log_data["reconcileID"] = current.id
        for name in ("exc_info", "stack_info"):
            if message_dict.get(name):
                log_data[name] = message_dict[name]


class _Text(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name is logging's
        current = CURRENT.get()
        about = f" [{'/'.join(current.key)} {current.id}]" if current is not None else ""
        return f"{self.formatTime(record)} {record.levelname:<7} {record.name}{about} {record.message}"


def configure(level: str, *, as_json: bool, stream: TextIO = sys.stderr) -> None:
    """Log so from now on, our own lines and those of libraries."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Line() if as_json else _Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # each request's line is no news to anybody
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # the framework tells of each object that passes by
    logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
