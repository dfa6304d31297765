"""The cluster's authority: certificates for its programs, and a kubeconfig for anybody."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
import yaml


@dataclass(frozen=True, slots=True)
class Authority:
    """Issues what an API server at that URL trusts, into a folder."""

    folder: Path
    server: str
    """URL of the API server."""
    _authority: trustme.CA = field(default_factory=trustme.CA)

    def write_authority(self) -> tuple[Path, Path]:
        """Certificate and key of the authority itself."""
        certificate, key = self.folder / "ca.crt", self.folder / "ca.key"
        self._authority.cert_pem.write_to_path(str(certificate))
        self._authority.private_key_pem.write_to_path(str(key))
        return certificate, key

    def write_pair(self, name: str, *hosts: str, user: str, group: str | None = None) -> tuple[Path, Path]:
        """Certificate and key for a user of the API, who is a server under those names and addresses as well."""
        # An empty list of alternative names is a critical extension that Go refuses.
        issued = self._authority.issue_cert(*(hosts or ("localhost",)), common_name=user, organization_name=group)
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))
        return certificate, key

    def write_kubeconfig(self, name: str, *, user: str, group: str | None = None) -> Path:
        """A kubeconfig by which its holder is that user, of that group."""
        certificate, key = self.write_pair(name, user=user, group=group)
        return self._write(name, {"client-certificate-data": _encoded(certificate), "client-key-data": _encoded(key)})

    def write_token_kubeconfig(self, name: str, token: str) -> Path:
        """A kubeconfig with a bearer token, such as a service account's."""
        return self._write(name, {"token": token})

    def _write(self, name: str, user: dict[str, str]) -> Path:
        trusted = base64.b64encode(self._authority.cert_pem.bytes()).decode()
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.server, "certificate-authority-data": trusted}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        path.chmod(0o600)
        return path


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
