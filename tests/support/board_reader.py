"""Event files as TensorBoard reads them, without TensorBoard."""

import struct
from collections.abc import Iterator
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog

Curves = dict[str, list[tuple[int, float]]]


def read_board(folder: Path) -> Curves:
    """Points by curve; a session that begins at a step takes back what there was from there on."""
    curves: Curves = {}
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda p: p.stat().st_mtime_ns):
        for event in _events(path.read_bytes()):
            if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                curves = {n: [p for p in points if p[0] < event.step] for n, points in curves.items()}
            for value in event.summary.value:
                curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves


def _events(data: bytes) -> Iterator[Event]:
    # length, its checksum, content, its checksum
    while len(data) >= 12 and len(data) >= (end := 12 + struct.unpack_from("<Q", data)[0]) + 4:
        yield Event.FromString(data[12:end])
        data = data[end + 4 :]
