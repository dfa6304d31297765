"""Training on packed rows: several in a line, each of which sees itself alone."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, RandomSampler, Sampler
from torch.utils.data import Dataset as Rows

from finetune_trainer.answer_head import IGNORED
from finetune_trainer.packing import Line, best_fit, passes

PROBED_TOKENS: Final = 16
"""Of either row that is tried."""

ROUNDING: Final = 16
"""Steps of the arithmetic, of a number near 1, by which logits may differ that are computed in other places."""

LEAST_ROUNDING: Final = 1e-3
"""Of the logits' spread; what leaks changes them by about as much as they are spread."""


class PackSampler(Sampler[list[Line]]):
    """An epoch's rows for one rank: the same rows in the same step as unpacked, in as few forward passes as will do.

    Notes:
        What is yielded is a place for every micro-batch of the plan, so that steps begin and end where they would
        unpacked; places that packing has freed come first and hold nothing.
    """

    def __init__(
        self, lengths: Sequence[int], *, at_once: int, accumulation: int, rank: int, ranks: int, seed: int
    ) -> None:
        """Make it.

        Args:
            lengths: tokens of each row.
            at_once: lines of a forward pass on one rank, each as long as the longest row.
            accumulation: forward passes of a step, unpacked.
            rank: whose part is yielded.
            ranks: of the run.
            seed: of the order.
        """
        self._lengths = lengths
        self._capacity = max(lengths)
        self._at_once, self._accumulation = at_once, accumulation
        self._rank, self._ranks, self._seed = rank, ranks, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take that epoch's order."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[Line]]:
        """This rank's lines for each forward pass; none where packing has freed one."""
        # as unpacked
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        order = list(RandomSampler(range(len(self._lengths)), generator=generator))
        per_step = self._at_once * self._ranks * self._accumulation
        for begin in range(0, len(order), per_step):
            rows = order[begin : begin + per_step]
            packed = passes(best_fit(rows, self._lengths, self._capacity), self._at_once, self._ranks)
            yield from [[]] * (self._places(len(rows)) - len(packed))
            yield from (lines[self._rank] for lines in packed)

    def _places(self, rows: int) -> int:
        return -(-rows // (self._at_once * self._ranks))

    def __len__(self) -> int:
        """Places of an epoch."""
        return self._places(len(self._lengths))


class PackedRows(Rows[dict[str, list[int]]]):
    """Lines by the numbers of their rows."""

    def __init__(self, rows: Dataset) -> None:
        self._rows = rows

    def __len__(self) -> int:
        """Rows, not lines: how many of these there are changes with every epoch."""
        return len(self._rows)

    def __getitem__(self, line: Line) -> dict[str, list[int]]:
        """A line's ids, labels and positions."""
        rows = [self._rows[row] for row in line] or [{"input_ids": [0, 0], "labels": [IGNORED, IGNORED]}]
        return {
            "input_ids": [i for row in rows for i in row["input_ids"]],
            # nothing precedes a row's first token that it could be predicted from: the row before it least of all
            "labels": [i for row in rows for i in (IGNORED, *row["labels"][1:])],
            "position_ids": [i for row in rows for i in range(len(row["input_ids"]))],
        }


def collate(lines: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Lines as one batch without a mask: positions say where a row begins, and what fills up is a row by itself."""
    if not lines:
        return {name: torch.zeros((0, 0), dtype=torch.long) for name in ("input_ids", "labels", "position_ids")}
    width = max(len(line["input_ids"]) for line in lines)
    found = {
        name: pad_sequence([torch.tensor(line[name]) for line in lines], batch_first=True, padding_value=fill)
        for name, fill in (("input_ids", 0), ("labels", IGNORED))
    }
    positions = [[*line["position_ids"], *range(width - len(line["position_ids"]))] for line in lines]
    tokens = sum(len(line["input_ids"]) for line in lines)
    return found | {"position_ids": torch.tensor(positions), "tokens": torch.tensor(tokens)}


class PackLoader(DataLoader[Any]):
    """Tells epochs to the sampler, as transformers expects it of accelerate's."""

    def set_epoch(self, epoch: int) -> None:
        """Take that epoch's order."""
        cast("PackSampler", self.batch_sampler).set_epoch(epoch)


class PackedLoss:
    """Mixed in before TRL's SFTTrainer, which it gives the batches of `collate`."""

    _passes = 1

    def get_train_dataloader(self) -> DataLoader[Any]:
        """This rank's lines; accelerate would deal them out once more."""
        trainer = cast("Any", self)
        lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
        sampler = PackSampler(
            lengths,
            at_once=trainer.args.per_device_train_batch_size,
            accumulation=trainer.args.gradient_accumulation_steps,
            rank=trainer.args.process_index,
            ranks=trainer.args.world_size,
            seed=trainer.args.data_seed,
        )
        return PackLoader(
            PackedRows(trainer.train_dataset),
            batch_sampler=cast("Any", sampler),
            collate_fn=collate,
            pin_memory=trainer.args.dataloader_pin_memory,
        )

    def get_batch_samples(self, *arguments: Any) -> Any:
        """As many as ever; how many of them hold something is what routers' own losses are divided by."""
        batches, items = super().get_batch_samples(*arguments)  # type: ignore[misc]  # of what it is mixed into
        self._passes = sum(batch["input_ids"].numel() > 0 for batch in batches)
        return batches, items

    def training_step(self, model: Any, inputs: dict[str, torch.Tensor], *more: Any) -> torch.Tensor:
        """One forward and backward pass, or none in a place that packing has freed."""
        if not inputs["input_ids"].numel():
            return torch.zeros((), device=cast("Any", self).args.device)
        found: torch.Tensor = super().training_step(model, inputs, *more)  # type: ignore[misc]  # likewise
        return found

    def compute_loss(self, *arguments: Any, **named: Any) -> Any:
        """The trainer's, over the passes that hold something."""
        cast("Any", self).current_gradient_accumulation_steps = self._passes
        return super().compute_loss(*arguments, **named)  # type: ignore[misc]  # likewise


def keeps_apart(model: Any, one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether a row behind another has the logits that it has alone, whatever the other is: tried on this model."""
    first, second = list(one[:PROBED_TOKENS]), list(other[:PROBED_TOKENS])
    with torch.no_grad():
        alone = _logits(model, [second])[-len(second) :]
        behind = _logits(model, [first, second])[-len(second) :]
        # another row in its place
        moved = _logits(model, [[*first[1:], second[0]], second])[-len(second) :]
    spread = alone.std()
    rounding = max(LEAST_ROUNDING, ROUNDING * torch.finfo(model.dtype).eps)
    return all(bool((found - alone).abs().max() <= rounding * spread) for found in (behind, moved))


def _logits(model: Any, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    ids = torch.tensor([[i for row in rows for i in row]], device=model.device)
    positions = torch.tensor([[i for row in rows for i in range(len(row))]], device=model.device)
    found: torch.Tensor = model(input_ids=ids, position_ids=positions, use_cache=False).logits[0].float()
    return found
