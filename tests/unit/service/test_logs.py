import io
import json
import logging
from collections.abc import Iterator

import pytest

from finetune_operator.kube.worker import CURRENT, Pass
from finetune_operator.logs import configure


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(*, as_json: bool = True, level: str = "info") -> tuple[io.StringIO, logging.Logger]:
    stream = io.StringIO()
    configure(level, as_json=as_json, stream=stream)
    return stream, logging.getLogger("finetune_operator.test")


def test_a_line_is_one_json_object() -> None:
    stream, log = lines()
    log.warning("It said\n%s", "no")
    log.debug("unseen")
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert said.pop("time").endswith("Z")
    assert said == {"level": "warning", "logger": "finetune_operator.test", "message": "It said\nno"}


def test_a_line_of_a_pass_names_the_object_and_the_pass() -> None:
    stream, log = lines()
    token = CURRENT.set(Pass(("ns", "a"), "p-1"))
    log.info("Looking")
    CURRENT.reset(token)
    said = json.loads(stream.getvalue())
    assert (said["object"], said["reconcileID"]) == ({"namespace": "ns", "name": "a"}, "p-1")


def test_an_error_carries_its_traceback() -> None:
    stream, log = lines()
    log.error("Failed", exc_info=ValueError("oh"))
    assert "ValueError: oh" in json.loads(stream.getvalue())["exc_info"]


def test_text_is_for_people() -> None:
    stream, log = lines(as_json=False)
    token = CURRENT.set(Pass(("ns", "a"), "p-1"))
    log.info("Looking")
    CURRENT.reset(token)
    assert stream.getvalue().endswith("INFO    finetune_operator.test [ns/a p-1] Looking\n")


def test_libraries_do_not_drown_what_matters() -> None:
    stream, _ = lines(level="debug")
    for name in ("kopf.objects", "aiohttp.access"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).error("trouble")
    assert stream.getvalue().count("chatter") == 0
    assert stream.getvalue().count("trouble") == 2
