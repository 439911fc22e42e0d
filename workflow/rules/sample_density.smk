# Samples of density models; part of phase `sample`, whose phony rule is in sample.smk.


include: "../functions/sample_density.smk"


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
