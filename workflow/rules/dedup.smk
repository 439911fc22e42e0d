# De-duplication: near-copies of the train split found and left out of what the GANs train on; leakage counted.


include: "../functions/dedup.smk"


rule dedup:
    input:
        train_images="data/prepared/{dataset}/train_images.npy",
        test_images=dedup_test_images,
        verdicts=dedup_verdicts,
        receipts=["data/prepared/{dataset}/receipt.json"],
    output:
        autoencoder=f"{DEDUP}/autoencoder.safetensors",
        codes=f"{DEDUP}/codes.npy",
        clusters=f"{DEDUP}/clusters.csv",
        kept=f"{DEDUP}/kept.npy",
        metrics=f"{DEDUP}/metrics.json",
        recall=f"{DEDUP}/recall.csv",
        radius=f"{DEDUP}/radius.csv",
        pairs=f"{DEDUP}/pairs.csv",
        leakage=f"{DEDUP}/leakage.csv",
        contact_sheet=f"{DEDUP}/contact_sheet.png",
        receipt=f"{DEDUP}/receipt.json",
    log:
        "logs/{study}/dedup/{dataset}.log",
    benchmark:
        "logs/{study}/dedup/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(STUDY.dedup.cells()),
    conda:
        "../envs/relatent.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=dedup_settings,
        code=code_digest("relatent.cli.dedup"),
        optional=dedup_optional,
    shell:
        "python -m relatent.cli.dedup --cell {wildcards.dataset} --settings {params.settings:q}"
        " --train-images {input.train_images} {params.optional} --receipts {input.receipts}"
        " --autoencoder {output.autoencoder} --codes {output.codes} --clusters {output.clusters}"
        " --kept {output.kept} --metrics {output.metrics} --recall {output.recall} --radius {output.radius} --pairs {output.pairs}"
        " --leakage {output.leakage} --contact-sheet {output.contact_sheet}"
        " --receipt {output.receipt} > {log} 2>&1"


rule phase_dedup:
    input:
        [
            f"results/{STUDY.study}/dedup/{dataset}/{file}"
            for dataset in STUDY.dedup.cells()
            for file in DEDUP_FILES
        ],
