"""Corpus -> LoRA adapter: the same references that an index holds, put into the weights."""
