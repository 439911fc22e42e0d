# What the rules of sample use: cells, settings, input functions.
from relatent.config.sample import gan_sample_settings, nearest_neighbour_settings
from relatent.config.visual import arithmetic_cell, guided_cell

SAMPLE = "results/{study}/sample/{cell}"


SAMPLE_GAN_FILES = (
    "samples.npy",
    "early.npy",
    "interpolation.npy",
    "metrics.json",
    "receipt.json",
)


def sample_gan_settings(wildcards):
    return settings_json(gan_sample_settings(STUDY.sample, STUDY.gan, wildcards.cell))


def sample_gan_heldout(wildcards):
    """The test images, or those of validation; none where a dataset has neither."""
    dataset = gan_dataset(wildcards)
    there = [str(path) for path in REGISTRY.prepared_files(dataset)]
    wanted = [
        f"data/prepared/{dataset}/{split}_images.npy"
        for split in ("test", "validation")
    ]
    return [path for path in wanted if path in there][:1]


def sample_gan_receipts(wildcards):
    return [
        *gan_receipts(wildcards),
        f"results/{STUDY.study}/train_gan/{wildcards.cell}/receipt.json",
    ]


def sample_gan_optional(wildcards, input):
    given = {"--kept": input.kept, "--heldout-images": input.heldout_images}
    return " ".join(f"{flag} {path}" for flag, path in given.items() if path)


def nearest_neighbour_job_settings(wildcards):
    return settings_json(
        nearest_neighbour_settings(STUDY.sample, STUDY.gan, wildcards.cell)
    )


def nearest_neighbour_prepared(wildcards):
    folder = f"data/prepared/{gan_dataset(wildcards)}"
    return [
        f"{folder}/{split}_{kind}.npy"
        for split in ("train", "test")
        for kind in ("images", "labels")
    ]


def nearest_neighbour_receipts(wildcards):
    return [
        f"data/prepared/{gan_dataset(wildcards)}/receipt.json",
        f"results/{STUDY.study}/train_gan/{wildcards.cell}/receipt.json",
    ]


def arithmetic_settings(wildcards):
    return settings_json(arithmetic_cell(STUDY.visual, STUDY.gan, wildcards.cell))


def arithmetic_optional(wildcards, input):
    return f"--train-labels {input.labels}" if input.labels else ""


def guided_settings(wildcards):
    return settings_json(guided_cell(STUDY.visual, STUDY.gan, wildcards.cell))


def guided_optional(wildcards, input):
    return f"--kept {input.kept}" if input.kept else ""


def visual_files():
    """All files of the experiments on trained GANs."""
    return [
        f"results/{STUDY.study}/sample/{cell}/{experiment}/{name}"
        for experiment, cells in STUDY.visual.cells().items()
        for cell in cells
        for name in (f"{experiment}.npz", "metrics.json", "receipt.json")
    ]
