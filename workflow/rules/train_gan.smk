# DCGAN: one job is one cell, trained on the images that de-duplication kept. Its path holds the dataset and the net.
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


rule train_gan:
    input:
        images=gan_images,
        kept=gan_kept,
        labels=gan_labels,
        receipts=gan_receipts,
    output:
        model=f"{GAN}/model.safetensors",
        early=f"{GAN}/early.safetensors",
        history=f"{GAN}/history.csv",
        receipt=f"{GAN}/receipt.json",
    log:
        "logs/{study}/train_gan/{cell}.log",
    benchmark:
        "logs/{study}/train_gan/{cell}.tsv"
    wildcard_constraints:
        cell=one_of(STUDY.gan.cells()),
    retries: 1  # a killed run goes on from its checkpoint
    conda:
        "../envs/relatent.yaml"
    threads: gan_threads  # from the settings; torch is told the same number, whatever --cores says
    resources:
        mem_mb=3000,
    params:
        settings=gan_settings,
        code=code_digest("relatent.cli.train_gan"),
        launcher=gan_launcher,
        optional=gan_optional,
    shell:
        "python -m{params.launcher} relatent.cli.train_gan --cell {wildcards.cell} --settings {params.settings:q}"
        " --images {input.images} {params.optional} --receipts {input.receipts}"
        " --model {output.model} --early {output.early} --history {output.history}"
        " --receipt {output.receipt} > {log} 2>&1"


rule phase_train_gan:
    input:
        [
            f"results/{STUDY.study}/train_gan/{cell}/{file}"
            for cell in STUDY.gan.cells()
            for file in GAN_FILES
        ],
