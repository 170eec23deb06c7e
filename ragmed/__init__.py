"""ragmed: fine-tune on medical text, retrieve from it, both, or neither? A controlled trial."""

__version__ = "0.1.0"
