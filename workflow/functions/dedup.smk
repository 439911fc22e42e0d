# What the rules of dedup use: cells, settings, input functions.
DEDUP = "results/{study}/dedup/{dataset}"


DEDUP_FILES = (
    "autoencoder.safetensors",
    "codes.npy",
    "clusters.csv",
    "kept.npy",
    "metrics.json",
    "recall.csv",
    "radius.csv",
    "pairs.csv",
    "leakage.csv",
    "contact_sheet.png",
    "receipt.json",
)


def dedup_settings(wildcards):
    return settings_json(STUDY.dedup.settings_of(wildcards.dataset))


def dedup_test_images(wildcards):
    has_test = "test" in REGISTRY[wildcards.dataset].prepare.splits
    return [f"data/prepared/{wildcards.dataset}/test_images.npy"] if has_test else []


def dedup_verdicts(wildcards):
    return (
        [STUDY.dedup.verdicts[wildcards.dataset]]
        if wildcards.dataset in STUDY.dedup.verdicts
        else []
    )


def dedup_optional(wildcards, input):
    given = {"--test-images": input.test_images, "--verdicts": input.verdicts}
    return " ".join(f"{flag} {path}" for flag, path in given.items() if path)
