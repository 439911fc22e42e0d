# Samples of density models; part of phase `sample`, whose phony rule is in sample.smk.
from relatent.config.density import DensityCellName
from relatent.config.evaluation import PosteriorGridCell, sample_cell

SAMPLED_DENSITIES = [cell.split("/", 1) for cell in STUDY.sample.density_cells()]

# Models of two latents, whose true posterior can be seen: figure 2 of Burda et al. 2016.
TWO_LATENTS = [
    [dataset, cell]
    for dataset, cell in SAMPLED_DENSITIES
    if DensityCellName.parse(f"{dataset}/{cell}").two_d
]


def posterior_grid_settings(wildcards):
    seeds = STUDY.density.settings_of(f"{wildcards.dataset}/{wildcards.cell}").seeds
    return settings_json(PosteriorGridCell(model_seed=seeds[0]))


def sample_density_settings(wildcards):
    cell = f"{wildcards.dataset}/{wildcards.cell}"
    shared = STUDY.sample.settings_of(cell).model_dump()
    return settings_json(sample_cell(shared, STUDY.density.settings_of(cell).seeds))


def sample_density_files():
    """All files of this part of the phase."""
    folder = f"results/{STUDY.study}/sample"
    names = (
        "samples.npy",
        "interpolation.npy",
        "filters.npz",
        "metrics.json",
        "receipt.json",
    )
    grids = ("posterior.npz", "metrics.json", "receipt.json")
    return [
        *(
            f"{folder}/{d}/{cell}/{name}"
            for d, cell in SAMPLED_DENSITIES
            for name in names
        ),
        *(
            f"{folder}/{d}/{cell}/posterior/{name}"
            for d, cell in TWO_LATENTS
            for name in grids
        ),
    ]


rule sample_density:
    input:
        model="results/{study}/train_density/{dataset}/{cell}/model.safetensors",
        test_images="data/prepared/{dataset}/test_images.npy",
        receipts=[
            "results/{study}/train_density/{dataset}/{cell}/receipt.json",
            "data/prepared/{dataset}/receipt.json",
        ],
    output:
        samples="results/{study}/sample/{dataset}/{cell}/samples.npy",
        interpolation="results/{study}/sample/{dataset}/{cell}/interpolation.npy",
        filters="results/{study}/sample/{dataset}/{cell}/filters.npz",
        metrics="results/{study}/sample/{dataset}/{cell}/metrics.json",
        receipt="results/{study}/sample/{dataset}/{cell}/receipt.json",
    log:
        "logs/{study}/sample/{dataset}/{cell}.log",
    benchmark:
        "logs/{study}/sample/{dataset}/{cell}.tsv"
    wildcard_constraints:
        dataset=one_of(sorted({dataset for dataset, _ in SAMPLED_DENSITIES})),
        cell=one_of(sorted({cell for _, cell in SAMPLED_DENSITIES})),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.sample.threads  # from the settings; torch is told the same number, whatever --cores says
    resources:
        mem_mb=2000,
    params:
        settings=sample_density_settings,
        code=code_digest("relatent.cli.sample_density"),
    shell:
        "python -m relatent.cli.sample_density --cell {wildcards.dataset}/{wildcards.cell}"
        " --settings {params.settings:q} --model {input.model} --test-images {input.test_images}"
        " --receipts {input.receipts} --samples {output.samples} --interpolation {output.interpolation}"
        " --filters {output.filters} --metrics {output.metrics} --receipt {output.receipt} > {log} 2>&1"


rule posterior_grid:
    input:
        model="results/{study}/train_density/{dataset}/{cell}/model.safetensors",
        images="data/prepared/{dataset}/train_images.npy",
        receipts=[
            "results/{study}/train_density/{dataset}/{cell}/receipt.json",
            "data/prepared/{dataset}/receipt.json",
        ],
    output:
        posterior="results/{study}/sample/{dataset}/{cell}/posterior/posterior.npz",
        metrics="results/{study}/sample/{dataset}/{cell}/posterior/metrics.json",
        receipt="results/{study}/sample/{dataset}/{cell}/posterior/receipt.json",
    log:
        "logs/{study}/sample/{dataset}/{cell}-posterior.log",
    benchmark:
        "logs/{study}/sample/{dataset}/{cell}-posterior.tsv"
    wildcard_constraints:
        dataset=one_of(sorted({dataset for dataset, _ in TWO_LATENTS})),
        cell=one_of(sorted({cell for _, cell in TWO_LATENTS})),
    conda:
        "../envs/relatent.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=posterior_grid_settings,
        code=code_digest("relatent.cli.posterior_grid"),
    shell:
        "python -m relatent.cli.posterior_grid --cell {wildcards.dataset}/{wildcards.cell}"
        " --settings {params.settings:q} --model {input.model} --images {input.images}"
        " --receipts {input.receipts} --posterior {output.posterior} --metrics {output.metrics}"
        " --receipt {output.receipt} > {log} 2>&1"
