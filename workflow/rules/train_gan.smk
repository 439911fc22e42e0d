# DCGAN: one job is one cell, trained on the images that de-duplication kept. Its path holds the dataset and the net.


include: "../functions/train_gan.smk"


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
        gpu=gan_gpus,  # from the settings; the limit is in profiles/default, and Slurm gives as many
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
