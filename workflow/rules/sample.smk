# Samples: of density models (sample_density.smk) and of GANs, with the measures of a GAN's samples.
from relatent.config.sample import gan_sample_settings

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
    """The test images; those of validation where a dataset has no test split."""
    dataset = gan_dataset(wildcards)
    paths = [str(path) for path in REGISTRY.prepared_files(dataset)]
    test = f"data/prepared/{dataset}/test_images.npy"
    return test if test in paths else f"data/prepared/{dataset}/validation_images.npy"


def sample_gan_receipts(wildcards):
    return [
        *gan_receipts(wildcards),
        f"results/{STUDY.study}/train_gan/{wildcards.cell}/receipt.json",
    ]


def sample_gan_kept(wildcards, input):
    return f"--kept {input.kept}" if input.kept else ""


rule sample_gan:
    input:
        model=f"{GAN}/model.safetensors",
        early_model=f"{GAN}/early.safetensors",
        train_images=gan_images,
        kept=gan_kept,
        heldout_images=sample_gan_heldout,
        receipts=sample_gan_receipts,
    output:
        samples=f"{SAMPLE}/samples.npy",
        early=f"{SAMPLE}/early.npy",
        interpolation=f"{SAMPLE}/interpolation.npy",
        metrics=f"{SAMPLE}/metrics.json",
        receipt=f"{SAMPLE}/receipt.json",
    log:
        "logs/{study}/sample/{cell}.log",
    benchmark:
        "logs/{study}/sample/{cell}.tsv"
    wildcard_constraints:
        cell=one_of(STUDY.sample.gan_cells()),
    conda:
        "../envs/relatent.yaml"
    threads: 1
    resources:
        mem_mb=3000,
    params:
        settings=sample_gan_settings,
        code=code_digest("relatent.cli.sample_gan"),
        kept=sample_gan_kept,
    shell:
        "python -m relatent.cli.sample_gan --cell {wildcards.cell} --settings {params.settings:q}"
        " --model {input.model} --early-model {input.early_model}"
        " --train-images {input.train_images} {params.kept} --heldout-images {input.heldout_images}"
        " --receipts {input.receipts}"
        " --samples {output.samples} --early {output.early} --interpolation {output.interpolation}"
        " --metrics {output.metrics} --receipt {output.receipt} > {log} 2>&1"


rule phase_sample:
    input:
        sample_density_files(),
        [
            f"results/{STUDY.study}/sample/{cell}/{file}"
            for cell in STUDY.sample.gan_cells()
            for file in SAMPLE_GAN_FILES
        ],
