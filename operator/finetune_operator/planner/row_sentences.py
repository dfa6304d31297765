"""How the rows of an optimizer step lie in its forward passes, in words."""

from finetune_operator.api.spec import FineTuneJobSpec, Objective
from finetune_operator.planner.facts import DatasetFacts
from finetune_operator.planner.lines import lay_out
from finetune_operator.planner.plan import Plan
from finetune_operator.planner.question import kept_unpacked
from finetune_operator.planner.sentences import plural


def tell_rows(spec: FineTuneJobSpec, family: str, data: DatasetFacts, plan: Plan) -> str:
    """How a plan's rows lie, and why."""
    unpacked = kept_unpacked(spec, family, data)
    if unpacked is not None:
        order = "stay in the order drawn" if spec.objective is Objective.KTO else "go by length"
        return f"they {order}, each by itself: {unpacked}"
    lines = lay_out(data, plan.micro_batch * plan.accumulation * plan.world, packed=True)
    count = lines.passes[plan.micro_batch, plan.world].times
    return (
        f"they lie end to end, about {lines.rows_a_line:.1f} on a line of {data.longest} tokens: "
        f"a step of {plural(lines.rows, 'row')} takes about {count:.1f} forward passes instead of {plan.accumulation}"
    )
