"""Keeping freed memory in the process, so that a training step does not ask the system for it again.

The activations of a GAN step are tens of megabytes each, the logits of an IWAE step at k = 50 three. glibc returns such
blocks to the system when they are freed and gets them back page by page, zeroed: up to a tenth of a step's time. A
step's blocks are the same each time, so keeping them costs no more memory than the step needs at its peak.
"""

import ctypes

# mallopt's parameters, from malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed, for the rest of the process; False where the C library is another."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(name, value) == 1 for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, 2**26)))
