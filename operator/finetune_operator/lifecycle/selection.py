"""Which plan is to run: what was asked for, or the only one there is; never a silent choice between several."""

from finetune_operator.exceptions import InfeasibleError, UnknownOptionError
from finetune_operator.planner.plan import Advice, Hardware, Plan, PlanSet, Rejection
from finetune_operator.units import gib


def select(plans: PlanSet, asked: str | None, origin: str) -> Plan | None:
    """The plan to run; None where somebody has to choose.

    Args:
        plans: every way, judged.
        asked: an option's id, the word `recommended`, or None.
        origin: how sentences name the hardware that was planned for.

    Raises:
        InfeasibleError: nothing is viable, or not what was asked for; with need, have and the hardware it would take.
        UnknownOptionError: no such option was considered.
    """
    if asked is not None:
        return pick(plans, asked, origin)
    if not plans.viable:
        raise InfeasibleError(infeasible_sentence(plans, origin))
    return plans.viable[0] if len(plans.viable) == 1 else None


def pick(plans: PlanSet, asked: str, origin: str) -> Plan:
    """The plan that was asked for, by its id or by the word `recommended`.

    Raises:
        InfeasibleError: it isn't viable, or nothing is.
        UnknownOptionError: no such option was considered.
    """
    found = plans.find(asked)
    if found is not None:
        return found
    rejection = plans.rejection(asked)
    if rejection is not None:
        raise InfeasibleError(rejection_sentence(rejection))
    if not plans.viable:
        raise InfeasibleError(infeasible_sentence(plans, origin))
    listed = ", ".join(p.id for p in plans.viable)
    raise UnknownOptionError(f"option {asked} isn't one of those that {origin} can carry; choose one of {listed}")


def rejection_sentence(rejection: Rejection) -> str:
    """Need, have, and what would do."""
    parts = [f"option {_lack(rejection)}"]
    if rejection.advice is not None:
        parts.append(f"it takes at least {hardware_phrase(rejection.advice.minimum)}")
    return "; ".join(parts)


def _lack(rejection: Rejection) -> str:
    parts = [f"{rejection.option} {rejection.message}", rejection.remedy]
    return "; ".join(part for part in parts if part)


def infeasible_sentence(plans: PlanSet, origin: str) -> str:
    """Nothing fits: the nearest way with need and have, and the hardware it would take."""
    nearest = f": {_lack(plans.rejected[0])}" if plans.rejected else ""
    return f"nothing that the job allows is viable on {origin}{nearest}{_advice_phrase(plans.advice)}"


def _advice_phrase(advice: Advice | None) -> str:
    if advice is None:
        return ""
    least, better = hardware_phrase(advice.minimum), hardware_phrase(advice.recommended)
    return f"; it takes at least {least}" + (f", better {better}" if better != least else "")


def hardware_phrase(hardware: Hardware) -> str:
    """Hardware in generic terms: "4 devices of 80.0 GiB, …"."""
    devices = "1 device" if hardware.devices == 1 else f"{hardware.devices} devices"
    nodes = f" on {hardware.nodes} nodes" if hardware.nodes > 1 else ""
    node = " a node" if hardware.nodes > 1 else ""
    return (
        f"{devices} of {gib(hardware.memory)}{nodes} with {hardware.cores} cores, {gib(hardware.ram)} RAM and "
        f"{gib(hardware.disk)} disk{node} ({hardware.option})"
    )
