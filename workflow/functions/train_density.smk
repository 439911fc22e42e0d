# What the rules of train_density use: cells, settings, input functions.
def density_settings(wildcards):
    return settings_json(
        STUDY.density.settings_of(f"{wildcards.dataset}/{wildcards.cell}")
    )


def density_threads(wildcards):
    return STUDY.density.settings_of(f"{wildcards.dataset}/{wildcards.cell}").threads


def density_gpus(wildcards):
    """Cards that the job holds: one, with all seeds on it, where the cell trains on a GPU."""
    cell = STUDY.density.settings_of(f"{wildcards.dataset}/{wildcards.cell}")
    return 1 if cell.device == "cuda" else 0


def density_images(wildcards):
    """The training split, and the validation split where the study trains on both."""
    splits = ["train", "validation"] if STUDY.density.with_validation else ["train"]
    return [f"data/prepared/{wildcards.dataset}/{split}_images.npy" for split in splits]


def density_start(wildcards, name):
    """A file of the cell that this one goes on from (the paper's table 2); none for most."""
    first = STUDY.density.starts_from(f"{wildcards.dataset}/{wildcards.cell}")
    return (
        []
        if first is None
        else [f"results/{wildcards.study}/train_density/{first}/{name}"]
    )


def density_start_model(wildcards):
    return density_start(wildcards, "model.safetensors")


def density_start_optimiser(wildcards):
    return density_start(wildcards, "optimiser.safetensors")


def density_start_receipt(wildcards):
    return density_start(wildcards, "receipt.json")
