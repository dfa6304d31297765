"""The planner's view of what an inspection read."""

import json

from finetune_operator.planner.facts import DatasetFacts, Evaluated, Facts, ModelFacts
from finetune_operator.units import Bytes
from finetune_trainer.events import InspectionFacts
from finetune_trainer.job_config import RowFormat


def facts_of(inspection: InspectionFacts) -> Facts:
    """The planner's view of what was read."""
    train = inspection.train
    return Facts(
        model=ModelFacts(config=json.loads(inspection.model_config_json), weight_bytes=Bytes(inspection.weight_bytes)),
        dataset=DatasetFacts(
            rows=train.rows,
            # both answers of a pair are in the total, and the planner counts a row's sequences itself
            tokens=-(-train.lengths.total // (2 if train.format == RowFormat.PREFERENCE else 1)),
            p50=train.lengths.p50,
            p95=train.lengths.p95,
            longest=train.lengths.max,
            evaluated=Evaluated(**inspection.evaluated.model_dump()),
        ),
    )
