"""A hub of a few repositories on this machine: enough of its protocol for a snapshot."""

import hashlib
import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Final

COMMIT: Final = "a" * 40
"""The only commit of the public repositories."""

FILES: Final[Mapping[str, bytes]] = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"pickled weights",
    "onnx/model.json": b"another framework's",
    "README.md": b"# tiny",
}
"""What is in me/tiny; half of it is not ours to take."""

ROWS: Final[Mapping[str, bytes]] = {
    "README.md": b"# rows",
    "rows.py": b"raise SystemExit('code of a data set is never run')",
    **{
        f"data/{split}-{part}.jsonl": b"".join(
            b'{"instruction": "%s question %d", "output": "yes"}\n' % (split.encode(), 10 * part + i) for i in range(10)
        )
        for split, part in (("train", 0), ("train", 1), ("test", 0))
    },
}
"""What is in the data set me/rows."""

ADAPTER: Final[Mapping[str, bytes]] = {
    "adapter_config.json": b'{"peft_type": "LORA"}',
    "adapter_model.safetensors": (2).to_bytes(8, "little") + b"{}",
    "checkpoint-1/adapter_model.safetensors": b"an earlier one",
    "training_args.bin": b"a pickle",
}
"""What is in the adapter me/adapter."""

REPOSITORIES: Final[Mapping[str, Mapping[str, bytes]]] = {
    "models/me/tiny": FILES,
    "models/me/adapter": ADAPTER,
    "datasets/me/rows": ROWS,
}
"""By kind and name."""


class Hub(BaseHTTPRequestHandler):
    """me/gated is gated, what isn't among REPOSITORIES doesn't exist."""

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
        for repository, files in REPOSITORIES.items():
            kind, _, name = repository.partition("/")
            # models have no prefix of their own
            root = f"/{name}" if kind == "models" else f"/{repository}"
            if path.startswith((f"/api/{repository}/", f"{root}/resolve/")):
                self._answer_of(path, repository, root, files)
                return
        if "me/gated" in path:
            self._send(b"{}", {"X-Error-Code": "GatedRepo"}, status=403)
        else:
            self._send(b"{}", {"X-Error-Code": "RepoNotFound"}, status=404)

    def _answer_of(self, path: str, repository: str, root: str, files: Mapping[str, bytes]) -> None:
        name = path.removeprefix(f"{root}/resolve/{COMMIT}/")
        if path in {f"/api/{repository}/revision/{r}" for r in ("main", COMMIT)}:
            self._send(json.dumps({"id": repository.partition("/")[2], "sha": COMMIT, "siblings": []}).encode())
        elif path == f"/api/{repository}/tree/{COMMIT}":
            self._send(json.dumps([_entry(n, c) for n, c in files.items()]).encode())
        elif name in files:
            self._send(files[name], {"ETag": f'"{_id(files[name])}"', "X-Repo-Commit": COMMIT})
        else:
            self._send(b"{}", {"X-Error-Code": "RevisionNotFound"}, status=404)

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
