"""Freed memory stays in the process."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
from relatent.training.freed_memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

print(int(keep_freed_memory()))
np.ones(2**24)  # 128 MB, touched and freed
before = faults()
np.ones(2**24)
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_a_block_freed_and_taken_again_costs_no_page_fault():
    """128 MB are 32,768 pages of 4 KiB; given back to the system, each would fault again."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    kept, faults = map(int, done.stdout.split())
    if not kept:
        pytest.skip("another C library")
    assert faults < 100
