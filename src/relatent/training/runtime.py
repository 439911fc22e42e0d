"""How torch is set up for a job: threads and determinism, said once and recorded in the receipt."""

from typing import Any

import torch


def configure_torch(threads: int) -> dict[str, Any]:
    """Fix torch's threads and ask for deterministic algorithms; return the flags for the receipt.

    Results are bitwise repeatable at a fixed thread count, not across counts, so `threads` comes from the cell's
    settings and never from `--cores` (DESIGN 4.14).
    """
    torch.set_num_threads(threads)
    # The same switch as `use_deterministic_algorithms`, which would import torch's compiler first: two seconds a job.
    torch.set_deterministic_debug_mode("error")
    # Or deterministic mode fills every new tensor with NaN first: a pass over memory that decides no bits of ours.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return {"deterministic_algorithms": True, "tf32": False}
