"""The report on a finished run: one text for people, its pictures, and all held-out answers."""

from finetune_trainer.report.writer import write_report

__all__ = ["write_report"]
