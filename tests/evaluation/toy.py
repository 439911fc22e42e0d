"""The two-state toy of specs/iwae.md, section 7, and what is known of it to twelve digits."""

import numpy as np

Q = np.array([0.8, 0.2])
PRIOR = np.array([0.5, 0.5])
LIKELIHOOD = np.array([0.2, 0.6])
LOG_W = np.log(PRIOR * LIKELIHOOD / Q)  # w = (0.125, 1.5)
LOG_PX = -0.916290731874
RELATIVE_VARIANCE = 1.890625
RELATIVE_THIRD_MOMENT = float((Q * (np.exp(LOG_W) - 0.4) ** 3).sum() / 0.4**3)

# k: L_k, Var(log phat)
GOLDEN = {
    1: (-1.582460211722, 0.987961769306),
    2: (-1.381068579080, 0.880431532061),
    5: (-1.138396856635, 0.496950633850),
    10: (-1.024317468576, 0.241190153353),
    50: (-0.935767323917, 0.039937570455),
    100: (-0.925884287063, 0.019423876419),
    500: (-0.918186899976, 0.003801508505),
}
JACKKNIFE_ERROR = {2: -0.263386215, 5: -0.017232265, 10: 0.009458964, 50: 0.000598770, 100: 0.000144156}


def draws(k: int, repeats: int, seed: int = 0) -> np.ndarray:
    """Log weights of draws from q, (k, repeats)."""
    return LOG_W[(np.random.default_rng(seed).random((k, repeats)) < Q[1]).astype(int)]
