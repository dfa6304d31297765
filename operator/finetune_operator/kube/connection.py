"""Where the API server is and who we are to it: the pod's service account, or a kubeconfig."""

import os
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import getproxies

from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException

from finetune_operator.kube.errors import KubeError


class NoClusterError(KubeError):
    """There is nothing that says where the API server is."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An API server, and who we are to it."""

    configuration: Configuration
    loader: Any = None
    """What read the kubeconfig; None in a pod."""

    @property
    def keeps_fresh(self) -> Coroutine[Any, Any, None] | None:
        """To be run beside everything else: asks the kubeconfig's plug-in for a new token before the old one ends.

        None in a pod, where the token's file is read again every minute.
        """
        return config.refresh_token(self.loader, self.configuration) if self.loader else None


async def load(kubeconfig: Path | None, context: str | None) -> Connection:
    """Read where the server is and who we are.

    Args:
        kubeconfig: the file to use; without one, the pod's service account, and outside of pods what kubectl would use.
        context: the file's context; without one, the current one.

    Raises:
        NoClusterError: there is neither, or it can't be read.
    """
    configuration: Any = Configuration()
    loader = None
    try:
        if kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(configuration)
        else:
            file = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or "~/.kube/config"
            loader = await config.load_kube_config(file, context, configuration, persist_config=False)
    except (ConfigException, OSError, ValueError) as e:
        raise NoClusterError(f"no API server to talk to: {e}; run in a pod, or name a file with --kubeconfig") from e
    # without a proxy there is nothing to read from the environment, and ~/.netrc, which would be read at each request,
    # is for other servers
    configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
    return Connection(configuration, loader)
