"""What stands below the table of the data: hashes, images per class and binarisations, which are no single numbers."""

from collections.abc import Iterator, Mapping, Sequence

SHOWN = 12  # digits of a sha256; the whole is in checks.json, of a binarisation in metrics.json too
SPLITS = ("train", "validation", "test", "extra")


def data_notes(documents: Mapping[str, Mapping[str, Mapping[str, object]]]) -> tuple[str, ...]:
    """A note for each prepared dataset, from its checks.json.

    Args:
        documents: source → its checks; others are passed over.
    """
    return tuple(
        f"{source.partition('/')[2]}: {'; '.join(_facts(checks))}."
        for source, checks in documents.items()
        if source.startswith("prepared/")
    )


def _facts(checks: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    hashes = [f"{split} {_short(checks[name])}" for split in SPLITS if (name := f"sha256_{split}") in checks]
    yield f"sha256 of the pixels {', '.join(hashes)}"
    for split in SPLITS:
        if f"labels_{split}" in checks:
            counts = checks[f"labels_{split}"]["value"]
            assert isinstance(counts, Sequence)
            yield f"images per class, {split}: {', '.join(f'{count:,}' for count in counts)}"
    if "test_binarisation" in checks:
        binarisation = checks["test_binarisation"]
        yield f"test binarisation (seed {binarisation['seed']}) {_short(binarisation)}"


def _short(metric: Mapping[str, object]) -> str:
    return str(metric["value"])[:SHOWN]
