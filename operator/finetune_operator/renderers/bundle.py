"""Everything that one run is started with, as files with one hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from finetune_operator.api.resource import FineTuneJob
from finetune_operator.planner.architecture import Architecture
from finetune_operator.planner.plan import Plan
from finetune_operator.renderers.deepspeed import render_deepspeed
from finetune_operator.renderers.repeat import CONFIG_FILE, render_repeat
from finetune_operator.renderers.trainer_config import Places, render_job
from finetune_trainer.job_config import DEEPSPEED_FILE, JOB_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Rendered files by name."""

    files: Mapping[str, str]

    @property
    def hash(self) -> str:
        """sha256:… of names and contents: another plan is another bundle."""
        digest = hashlib.sha256()
        for name in sorted(self.files):
            for part in (name, self.files[name]):
                # lengths keep two different sets of files from giving the same bytes
                digest.update(len(part.encode()).to_bytes(8, "big") + part.encode())
        return f"sha256:{digest.hexdigest()}"


def render_bundle(job: FineTuneJob, plan: Plan, architecture: Architecture, places: Places) -> Bundle:
    """job.json, deepspeed.json and the manifest that repeats the run."""
    return Bundle(
        files={
            JOB_FILE: render_job(job, plan, architecture, places).model_dump_json(indent=2) + "\n",
            DEEPSPEED_FILE: json.dumps(render_deepspeed(job.spec.training, plan, architecture.hidden), indent=2) + "\n",
            CONFIG_FILE: render_repeat(job, plan, places),
        },
    )
