"""Memory of evaluating: held-out rows through the base model and the result, before and after training."""

from functools import lru_cache
from typing import Final, NamedTuple

from finetune_operator.api.spec import Method, Objective
from finetune_operator.api.status import Offload
from finetune_operator.planner.activations import HALF, WIDE
from finetune_operator.planner.facts import EVALUATED_TOKENS, Evaluated
from finetune_operator.planner.inference import LayerPass, Way
from finetune_operator.planner.plan import PrecisionUsed
from finetune_operator.planner.states import ELEMENT_BYTES, Sharding, device_states, weight_bytes
from finetune_operator.planner.workload import Workload

LOSS_POSITIONS: Final = 256
"""Positions whose logits are in 32 bits at a time (the trainer's own)."""

LOSS_COPIES: Final = 2
"""Of these: the logits, and their log-probabilities."""

PADDED_PAIRS: Final = EVALUATED_TOKENS * EVALUATED_TOKENS // 2
"""Pairs of tokens of a batch of several rows at most."""

IDS: Final = 5 * 8
"""Bytes of a token in whole numbers: its id, mask, position, whether it is an answer's, and their sums."""


class Passed(NamedTuple):
    """What evaluating takes beside weights, at its highest moment; bytes."""

    activations: int
    cache: int
    """Keys and values, where the model answers by itself."""
    logits: int

    @property
    def total(self) -> int:
        """All together."""
        return self.activations + self.cache + self.logits


class Evaluation(NamedTuple):
    """Of one device; bytes."""

    weights: int
    """Resident while held-out rows are evaluated."""
    gathered: int
    """Of other devices' weights, or from RAM, for the layers at work."""
    passed: Passed

    @property
    def total(self) -> int:
        """What the allocator hands out."""
        return self.weights + self.gathered + self.passed.total


@lru_cache(maxsize=4096)
def evaluation_of(workload: Workload, sharding: Sharding, evaluated: Evaluated) -> Evaluation:
    """What one device holds at the highest moment of an evaluation."""
    weights, gathered = evaluated_weights(workload, sharding)
    return Evaluation(weights, gathered, passed_through(workload, sharding.precision, evaluated))


def evaluated_weights(workload: Workload, sharding: Sharding) -> tuple[int, int]:
    """Weights on a device while rows are evaluated, and those gathered beside them; an adapter is loaded in 32 bits."""
    states = device_states(workload, sharding)
    # what is rounded to 4 bits is so as a whole, and evaluated as a whole
    if sharding.offload is Offload.PARAMETERS or (sharding.stage == 3 and not workload.quantised):
        return states.weights, states.gathered
    element = ELEMENT_BYTES[sharding.precision]
    return weight_bytes(workload, element, element if workload.method is Method.FULL else WIDE), 0


@lru_cache(maxsize=1024)
def passed_through(workload: Workload, precision: PrecisionUsed, evaluated: Evaluated) -> Passed:
    """Beside weights, however these are divided."""
    element, e = ELEMENT_BYTES[precision], evaluated
    rows = _layers(workload, element, e.tokens, e.pairs)
    if workload.objective is Objective.REWARD:
        return Passed(rows, 0, 0)
    vocab, hidden = workload.architecture.vocab, workload.architecture.hidden
    at_once = LOSS_COPIES * WIDE * min(LOSS_POSITIONS, e.targets)
    # all of them are there while the answers' are picked out, and then these while their loss is computed
    logits = (e.targets * element + max(e.positions * element, at_once)) * vocab
    found = [
        Passed(rows, 0, 0),
        Passed((element * hidden + IDS) * e.tokens, 0, element * vocab * e.positions),
        Passed(IDS * e.tokens, 0, logits),
    ]
    if e.answering:
        prompts = _layers(workload, element, e.prompt_tokens, e.prompt_pairs)
        width = e.prompt_tokens // e.answering
        found.append(Passed(prompts, cache_bytes(workload, element, e.answering, width), 0))
        added = max(p.largest + (2 * p.keys if p.scores else 0) for p in workload.passes)
        written = e.answering * e.reach
        found.append(Passed(element * added * written, cache_bytes(workload, element, e.answering, e.reach), 0))
    return max(found, key=lambda p: p.total)


def cache_bytes(workload: Workload, element: int, rows: int, length: int) -> int:
    """Keys and values of so many rows: a layer with a window keeps no more than that of a row."""
    return element * rows * sum(p.layers * p.keys * min(length, p.window or length) for p in workload.passes)


def _layers(workload: Workload, element: int, tokens: int, pairs: int) -> int:
    """The highest moment of one layer, whose input is all that the layers before have left."""
    windows = {p.window for p in workload.passes}
    eager = any(p.scores for p in workload.passes)
    # a row alone needs a mask for a window only
    masked = pairs if eager or windows != {None} else min(pairs, PADDED_PAIRS)
    mask = len(windows) * masked * (element if eager else 1)
    widest = max(_layer(p, way, element, tokens, pairs, masked) for p in workload.passes for way in p.ways)
    return mask + IDS * tokens + widest + HALF * workload.unpacked


def _layer(layer: LayerPass, way: Way, element: int, tokens: int, pairs: int, masked: int) -> int:
    token = element * way.elements + way.wide + (WIDE * way.cast if element < WIDE else 0)
    # with a kernel, the mask in the arithmetic of the run; without, the scores, and the softmax of them
    each = 4 * element if layer.narrow else element + 2 * WIDE
    attention = each * layer.scores * pairs if layer.scores else element * masked
    return token * tokens + (attention if way.attends else 0) + way.fixed
