"""Plans fine-tuning, renders DeepSpeed, launches and judges."""

__version__ = "0.1.0"
