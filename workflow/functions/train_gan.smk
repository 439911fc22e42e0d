# What the rules of train_gan use: cells, settings, input functions.
GAN = "results/{study}/train_gan/{cell}"


GAN_FILES = (
    "model.safetensors",
    "early.safetensors",
    "history.csv",
    "receipt.json",
)


def gan_dataset(wildcards):
    return wildcards.cell.partition("/")[0]


def gan_settings(wildcards):
    return settings_json(STUDY.gan.settings_of(wildcards.cell))


def gan_threads(wildcards):
    settings = STUDY.gan.settings_of(wildcards.cell)
    return settings.threads * settings.processes


def gan_gpus(wildcards):
    """Cards that the job holds: one for each of its processes."""
    settings = STUDY.gan.settings_of(wildcards.cell)
    return settings.processes if settings.device == "cuda" else 0


def gan_images(wildcards):
    return f"data/prepared/{gan_dataset(wildcards)}/train_images.npy"


def gan_labels(wildcards):
    labels = f"data/prepared/{gan_dataset(wildcards)}/train_labels.npy"
    return [labels] if STUDY.gan.conditional(wildcards.cell) else []


def gan_kept(wildcards):
    """The kept index, where the study de-duplicates the dataset."""
    dataset = gan_dataset(wildcards)
    kept = f"results/{STUDY.study}/dedup/{dataset}/kept.npy"
    return [kept] if dataset in STUDY.dedup.cells() else []


def gan_receipts(wildcards):
    dataset = gan_dataset(wildcards)
    kept = [f"results/{STUDY.study}/dedup/{dataset}/receipt.json"]
    return [
        f"data/prepared/{dataset}/receipt.json",
        *(kept if gan_kept(wildcards) else []),
    ]


def gan_optional(wildcards, input):
    given = {"--kept": input.kept, "--labels": input.labels}
    return " ".join(f"{flag} {path}" for flag, path in given.items() if path)


def gan_launcher(wildcards):
    """torchrun where several processes share each minibatch."""
    processes = STUDY.gan.settings_of(wildcards.cell).processes
    start = f" torch.distributed.run --standalone --nproc-per-node {processes} -m"
    return start if processes > 1 else ""
