# Samples: of density models (sample_density.smk) and of GANs, with the measures of a GAN's samples.


include: "../functions/sample.smk"


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
    threads: STUDY.sample.threads
    resources:
        mem_mb=3000,
    params:
        settings=sample_gan_settings,
        code=code_digest("relatent.cli.sample_gan"),
        optional=sample_gan_optional,
    shell:
        "python -m relatent.cli.sample_gan --cell {wildcards.cell} --settings {params.settings:q}"
        " --model {input.model} --early-model {input.early_model}"
        " --train-images {input.train_images} {params.optional}"
        " --receipts {input.receipts}"
        " --samples {output.samples} --early {output.early} --interpolation {output.interpolation}"
        " --metrics {output.metrics} --receipt {output.receipt} > {log} 2>&1"


rule nearest_neighbour:
    input:
        model=f"{GAN}/model.safetensors",
        prepared=nearest_neighbour_prepared,  # train images and labels, test images and labels
        receipts=nearest_neighbour_receipts,
    output:
        metrics=f"{SAMPLE}/nearest_neighbour/metrics.json",
        receipt=f"{SAMPLE}/nearest_neighbour/receipt.json",
    log:
        "logs/{study}/nearest_neighbour/{cell}.log",
    benchmark:
        "logs/{study}/nearest_neighbour/{cell}.tsv"
    wildcard_constraints:
        cell=one_of(STUDY.sample.nearest_neighbour),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.sample.threads
    resources:
        mem_mb=2000,
    params:
        settings=nearest_neighbour_job_settings,
        code=code_digest("relatent.cli.nearest_neighbour"),
    shell:
        "python -m relatent.cli.nearest_neighbour --cell {wildcards.cell} --settings {params.settings:q}"
        " --model {input.model}"
        " --train-images {input.prepared[0]} --train-labels {input.prepared[1]}"
        " --test-images {input.prepared[2]} --test-labels {input.prepared[3]} --receipts {input.receipts}"
        " --metrics {output.metrics} --receipt {output.receipt} > {log} 2>&1"


rule latent_arithmetic:
    input:
        model=f"{GAN}/model.safetensors",
        images=gan_images,
        labels=gan_labels,
        receipts=nearest_neighbour_receipts,
    output:
        pictures=f"{SAMPLE}/arithmetic/arithmetic.npz",
        metrics=f"{SAMPLE}/arithmetic/metrics.json",
        receipt=f"{SAMPLE}/arithmetic/receipt.json",
    log:
        "logs/{study}/sample/{cell}-arithmetic.log",
    benchmark:
        "logs/{study}/sample/{cell}-arithmetic.tsv"
    wildcard_constraints:
        cell=one_of(STUDY.visual.arithmetic.run),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.visual.arithmetic.threads
    resources:
        mem_mb=2000,
    params:
        settings=arithmetic_settings,
        code=code_digest("relatent.cli.latent_arithmetic"),
        optional=arithmetic_optional,
    shell:
        "python -m relatent.cli.latent_arithmetic --cell {wildcards.cell} --settings {params.settings:q}"
        " --model {input.model} --train-images {input.images} {params.optional} --receipts {input.receipts}"
        " --pictures {output.pictures} --metrics {output.metrics} --receipt {output.receipt} > {log} 2>&1"


rule guided_features:
    input:
        model=f"{GAN}/model.safetensors",
        images=gan_images,
        kept=gan_kept,
        receipts=sample_gan_receipts,
    output:
        pictures=f"{SAMPLE}/guided/guided.npz",
        metrics=f"{SAMPLE}/guided/metrics.json",
        receipt=f"{SAMPLE}/guided/receipt.json",
    log:
        "logs/{study}/sample/{cell}-guided.log",
    benchmark:
        "logs/{study}/sample/{cell}-guided.tsv"
    wildcard_constraints:
        cell=one_of(STUDY.visual.guided.run),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.visual.guided.threads
    resources:
        mem_mb=3000,
    params:
        settings=guided_settings,
        code=code_digest("relatent.cli.guided_features"),
        optional=guided_optional,
    shell:
        "python -m relatent.cli.guided_features --cell {wildcards.cell} --settings {params.settings:q}"
        " --model {input.model} --train-images {input.images} {params.optional} --receipts {input.receipts}"
        " --pictures {output.pictures} --metrics {output.metrics} --receipt {output.receipt} > {log} 2>&1"


rule phase_sample:
    input:
        sample_density_files(),
        [
            f"results/{STUDY.study}/sample/{cell}/{file}"
            for cell in STUDY.sample.gan_cells()
            for file in SAMPLE_GAN_FILES
        ],
        [
            f"results/{STUDY.study}/sample/{cell}/nearest_neighbour/{file}"
            for cell in STUDY.sample.nearest_neighbour
            for file in ("metrics.json", "receipt.json")
        ],
        visual_files(),
