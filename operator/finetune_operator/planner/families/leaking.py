"""Families in whose models, in transformers 5.23, rows that lie end to end see one another.

Their attention doesn't take positions. The trainer tries it on the model at hand; a test holds this list against such
a trial of every family.
"""

from typing import Final

LEAKING: Final = frozenset(("afmoe", "biogpt", "bloom", "falcon", "gpt_oss", "mpt", "opt", "xglm"))
"""By model_type of config.json."""
