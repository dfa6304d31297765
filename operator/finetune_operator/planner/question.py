"""What the planner is asked, with all that is derived from it once."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_operator.api.spec import FineTuneJobSpec, Method, Objective, Packing
from finetune_operator.exceptions import DatasetInvalidError, InvalidManifestError
from finetune_operator.planner.architecture import Architecture, read_architecture
from finetune_operator.planner.capacity import Capacity
from finetune_operator.planner.facts import DatasetFacts, Facts
from finetune_operator.planner.families.leaking import LEAKING
from finetune_operator.planner.families.unscored import UNSCORED
from finetune_operator.planner.recipe import Recipe, our_recipe
from finetune_operator.planner.workload import Workload, workload_of
from finetune_operator.units import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The job, the facts and the hardware."""

    spec: FineTuneJobSpec
    architecture: Architecture
    data: DatasetFacts
    weight_bytes: Bytes
    capacity: Capacity
    workloads: Mapping[Method, Workload]

    @property
    def margin(self) -> float:
        """Share of free memory that no plan counts on."""
        return float(self.spec.hardware.memory_margin)


def pose(spec: FineTuneJobSpec, facts: Facts, capacity: Capacity) -> Question:
    """The question, once it makes sense.

    Raises:
        UnsupportedArchitectureError: the model can't be planned.
        InvalidManifestError: the adapter's targets, the rows' length or the objective don't suit the model.
        DatasetInvalidError: there are no rows.
    """
    architecture = read_architecture(facts.model.config)
    if facts.dataset.rows < 1:
        raise DatasetInvalidError(
            "spec.dataset.train: has no usable row; add rows, or look at the faults of those skipped"
        )
    _hold_length(spec, architecture, facts.dataset)
    _hold_scorable(spec, facts)
    methods = tuple(Method) if spec.method is None else (spec.method,)
    _hold_packing(spec, architecture)
    recipe = recipe_of(spec, architecture, facts.dataset)
    return Question(
        spec=spec,
        architecture=architecture,
        data=facts.dataset,
        weight_bytes=facts.model.weight_bytes,
        capacity=capacity,
        workloads={m: workload_of(architecture, m, spec.adapter, spec.objective, recipe) for m in methods},
    )


def recipe_of(spec: FineTuneJobSpec, architecture: Architecture, data: DatasetFacts) -> Recipe:
    """How the trainer runs the job: with rows end to end wherever it may, and the model keeps them apart."""
    return our_recipe(spec.training.optimizer, packed=kept_unpacked(spec, architecture.family, data) is None)


def kept_unpacked(spec: FineTuneJobSpec, family: str, data: DatasetFacts) -> str | None:
    """Why rows don't lie end to end; None where they do."""
    if spec.objective is not Objective.SFT:
        return f"with {spec.objective.value} they aren't laid end to end"
    if spec.training.packing is Packing.NEVER:
        return "spec.training.packing is Never"
    if family in LEAKING:
        return f"in models of the family {family} rows of one line would see one another"
    return None if data.rows > 1 else "there is one row"


def _hold_packing(spec: FineTuneJobSpec, architecture: Architecture) -> None:
    if spec.training.packing is Packing.BEST_FIT and architecture.family in LEAKING:
        raise InvalidManifestError(
            f"spec.training.packing: in models of the family {architecture.family} rows of one line would see one "
            "another; write Auto or Never"
        )


def _hold_scorable(spec: FineTuneJobSpec, facts: Facts) -> None:
    family = facts.model.config.get("model_type")
    if spec.objective is Objective.REWARD and family in UNSCORED:
        raise InvalidManifestError(
            f"spec.objective: Reward puts a score in place of the output head, and transformers has no such model "
            f"of the family {family}; take a model of another family, such as llama or qwen2"
        )


def _hold_length(spec: FineTuneJobSpec, architecture: Architecture, data: DatasetFacts) -> None:
    positions = architecture.max_positions
    if data.longest > positions:
        raise InvalidManifestError(
            f"spec.dataset.maxLength: {spec.dataset.max_length} lets rows of {data.longest} tokens in, and "
            f"{architecture.name} has {positions} positions; write {positions} or less",
        )
