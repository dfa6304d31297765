"""What each family of models in transformers 5.23 is made of, as data."""

from collections.abc import Mapping
from typing import Final

from finetune_operator.planner.families.classic import CLASSIC
from finetune_operator.planner.families.dense import DENSE
from finetune_operator.planner.families.family import Family
from finetune_operator.planner.families.routed import ROUTED

FAMILIES: Final[Mapping[str, Family]] = {**DENSE, **ROUTED, **CLASSIC}
"""By model_type of config.json."""
