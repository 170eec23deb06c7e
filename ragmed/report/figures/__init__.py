"""Results in, figures for the page and for papers out (`write.py`), one file a figure. Computes no numbers."""
