"""What an inspection in a pod is asked."""

import json
from typing import Final

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.renderers.places import in_pod
from finetune_operator.renderers.trainer_config import render_asked_parent, render_data

REQUEST_FILE: Final = "request.json"
"""Key of its ConfigMap."""


def inspection_request(job: FineTuneJob) -> str:
    """The request as `python -m finetune_trainer.inspection` reads it."""
    places = in_pod(job, with_output=False).places
    data = render_data(job.spec, places.train, places.evaluation)
    request = {
        "model_path": places.model,
        # of a model from the hub only what planning needs is fetched
        "weights": job.spec.model.source.hub is None,
        "data": data.model_dump(mode="json"),
        "parent": render_asked_parent(job.spec, places.adapter),
    }
    return json.dumps(request)
