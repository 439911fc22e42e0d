"""Binary codes of up to 128 bits as two 64-bit words per image, and what their statistics say.

Bit b of a code is bit b % 64 of word b // 64. Codes come in as arrays; nothing here knows a network.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

WORD = 64


def pack_bits(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Codes, uint64 (n, 2), from blocks of bool (batch, bits) with at most 128 bits each.

    Raises:
        ValueError: more than 128 bits.
    """
    packed = []
    for bits in blocks:
        if bits.shape[1] > 2 * WORD:
            raise ValueError(f"a code has {bits.shape[1]} bits; two 64-bit words hold at most 128")
        padded = np.zeros((len(bits), 2 * WORD), dtype=bool)
        padded[:, : bits.shape[1]] = bits
        packed.append(np.packbits(padded, axis=1, bitorder="little").view("<u8"))
    return np.concatenate(packed) if packed else np.empty((0, 2), dtype=np.uint64)


def unpack_bits(codes: np.ndarray, bits: int = 2 * WORD) -> np.ndarray:
    """Bool (n, bits) of codes, uint64 (n, 2)."""
    as_bytes = np.ascontiguousarray(codes, dtype="<u8").view(np.uint8)
    return np.unpackbits(as_bytes, axis=1, bitorder="little")[:, :bits].astype(bool)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Bits that differ, int64, between codes of equal shape (..., 2)."""
    return np.bitwise_count(a ^ b).sum(axis=-1, dtype=np.int64)


def bit_probabilities(codes: np.ndarray, bits: int = 2 * WORD, block: int = 1 << 16) -> np.ndarray:
    """Share of codes that have each bit on, float64 (bits,)."""
    counts = np.zeros(bits, dtype=np.int64)
    for start in range(0, len(codes), block):
        counts += unpack_bits(codes[start : start + block], bits).sum(axis=0, dtype=np.int64)
    return counts / max(len(codes), 1)


@dataclass(frozen=True)
class CodeStatistics:
    """What a set of codes can tell apart; entropies in bits."""

    n_constant_bits: int
    """bits that are on in all images or in none"""
    largest_bucket: int
    """images that share the commonest code"""
    colliding_pairs: int
    """pairs of images with equal codes"""
    entropy: float
    """Shannon entropy of the codes as found, at most log2(n)"""
    entropy_independent: float
    """sum of the bits' entropies: what it would be if no bit told of another; an upper bound"""
    collision_entropy_independent: float
    """minus log2 of the chance that two codes are equal, if no bit told of another; an upper bound"""
    distance_mean: float
    """bits between two images drawn by chance"""
    distance_sd: float


def code_statistics(
    codes: np.ndarray, bits: int, first: np.ndarray, rng: np.random.Generator, pairs: int = 1 << 18
) -> CodeStatistics:
    """Statistics of codes, uint64 (n, 2).

    Args:
        codes: of n >= 2 images.
        bits: length of a code.
        first: per code, the lowest index of an equal one (`search.first_equal`).
        rng: draws pairs of images.
        pairs: how many.

    Raises:
        ValueError: fewer than two codes.
    """
    if len(codes) < 2:
        raise ValueError(f"{len(codes)} codes; two are needed to compare")
    probability = bit_probabilities(codes, bits)
    sizes = np.bincount(first)
    share = sizes[sizes > 0] / len(codes)
    a = rng.integers(0, len(codes), pairs)
    b = (a + rng.integers(1, len(codes), pairs)) % len(codes)  # never the image itself
    distance = distances(codes[a], codes[b])
    return CodeStatistics(
        n_constant_bits=int(((probability == 0) | (probability == 1)).sum()),
        largest_bucket=int(sizes.max()),
        colliding_pairs=int((sizes * (sizes - 1) // 2).sum()),
        entropy=float(-(share * np.log2(share)).sum()),
        entropy_independent=float(sum(_entropy(p) for p in probability)),
        collision_entropy_independent=float(-np.log2(probability**2 + (1 - probability) ** 2).sum()),
        distance_mean=float(distance.mean()),
        distance_sd=float(distance.std()),
    )


def needed_entropy_bits(n: int, removed: int, false_share: float) -> float:
    """Collision entropy at which chance makes at most `false_share` of the removals: n^2/2 2^-H <= share x removed.

    Without a removal one is assumed, so that the answer stays finite.
    """
    return float(np.log2(n**2 / 2 / (false_share * max(removed, 1))))


def _entropy(p: float) -> float:
    return float(-sum(q * np.log2(q) for q in (p, 1 - p) if q > 0))
