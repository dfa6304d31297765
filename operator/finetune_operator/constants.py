"""Names that users, clusters and files know us by."""

from typing import Final

GROUP: Final = "finetune-operator.dev"
"""API group; another project owns a kind FinetuneJob, the group keeps us apart."""

VERSION: Final = "v1alpha1"
"""API version of the only kind."""

API_VERSION: Final = f"{GROUP}/{VERSION}"
"""What a manifest writes as apiVersion."""

KIND: Final = "FineTuneJob"
"""What a manifest writes as kind."""

MAX_LISTED: Final = 8
"""Viable options that are listed, and kept in status, unless all are asked for: what a person compares."""

MAX_REJECTED: Final = 24
"""Rejections kept in status."""

MAX_FAULTS: Final = 10
"""Dataset faults kept in status; all of them are in the report."""

MAX_ATTEMPTS: Final = 5
"""Ended attempts kept in status."""

MAX_NAME_LENGTH: Final = 40
"""Longest metadata.name: children are named after it and are DNS labels of at most 63 characters."""
