"""Others' runs in, ours out, in others' formats."""
