"""Loops, schedules, checkpoints. Knows nothing of config files, arguments or the workshops."""
