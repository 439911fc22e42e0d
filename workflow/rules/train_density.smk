# VAE and IWAE: one job is one cell with all its seeds, one after another.


include: "../functions/train_density.smk"


rule train_density:
    input:
        images=density_images,
        start=density_start_model,
        start_optimiser=density_start_optimiser,
        receipts=["data/prepared/{dataset}/receipt.json"],
        start_receipt=density_start_receipt,
    output:
        model="results/{study}/train_density/{dataset}/{cell}/model.safetensors",
        optimiser="results/{study}/train_density/{dataset}/{cell}/optimiser.safetensors",
        history="results/{study}/train_density/{dataset}/{cell}/history.csv",
        receipt="results/{study}/train_density/{dataset}/{cell}/receipt.json",
    log:
        "logs/{study}/train_density/{dataset}/{cell}.log",
    benchmark:
        "logs/{study}/train_density/{dataset}/{cell}.tsv"
    wildcard_constraints:
        dataset=one_of(
            sorted({cell.partition("/")[0] for cell in STUDY.density.cells()})
        ),
        cell=one_of(sorted({cell.partition("/")[2] for cell in STUDY.density.cells()})),
    conda:
        "../envs/relatent.yaml"
    threads: density_threads  # from the settings; torch is told the same number, whatever --cores says
    resources:
        mem_mb=2000,
        gpu=density_gpus,  # from the settings; the limit is in profiles/default, and Slurm gives as many
    params:
        settings=density_settings,  # this cell's values as JSON, not the whole study
        code=code_digest("relatent.cli.train_density"),  # logic changed: re-make; comment changed: don't
    shell:
        "python -m relatent.cli.train_density --cell {wildcards.dataset}/{wildcards.cell} --settings {params.settings:q}"
        " --images {input.images} --start {input.start} {input.start_optimiser}"
        " --receipts {input.receipts} {input.start_receipt}"
        " --model {output.model} --optimiser {output.optimiser} --history {output.history}"
        " --receipt {output.receipt} > {log} 2>&1"


rule phase_train_density:
    input:
        [
            f"results/{STUDY.study}/train_density/{cell}/{name}"
            for cell in STUDY.density.cells()
            for name in (
                "model.safetensors",
                "optimiser.safetensors",
                "history.csv",
                "receipt.json",
            )
        ],
