"""A hub of two repositories on this machine: enough of its protocol for a snapshot."""

import hashlib
import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Final

COMMIT: Final = "a" * 40
"""The only commit of the only public repository, me/tiny."""

FILES: Final[Mapping[str, bytes]] = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"pickled weights",
    "onnx/model.json": b"another framework's",
    "README.md": b"# tiny",
}
"""What is in it; half of it is not ours to take."""


class Hub(BaseHTTPRequestHandler):
    """me/tiny is public, me/gated is gated, everything else doesn't exist."""

    def do_HEAD(self) -> None:
        """Metadata of a file."""
        self._answer()

    def do_GET(self) -> None:
        """A file, or what the API knows of a repository."""
        self._answer()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        name = path.removeprefix(f"/me/tiny/resolve/{COMMIT}/")
        if path in {f"/api/models/me/tiny/revision/{r}" for r in ("main", COMMIT)}:
            self._send(json.dumps({"id": "me/tiny", "sha": COMMIT, "siblings": []}).encode())
        elif path == f"/api/models/me/tiny/tree/{COMMIT}":
            self._send(json.dumps([_entry(n, c) for n, c in FILES.items()]).encode())
        elif name in FILES:
            self._send(FILES[name], {"ETag": f'"{_id(FILES[name])}"', "X-Repo-Commit": COMMIT})
        elif path.startswith("/api/models/me/tiny/"):
            self._send(b"{}", {"X-Error-Code": "RevisionNotFound"}, status=404)
        elif "me/gated" in path:
            self._send(b"{}", {"X-Error-Code": "GatedRepo"}, status=403)
        else:
            self._send(b"{}", {"X-Error-Code": "RepoNotFound"}, status=404)

    def _send(self, body: bytes, headers: Mapping[str, str] | None = None, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _entry(name: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(content), "oid": _id(content)}


def _id(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:40]
