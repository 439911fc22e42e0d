# Memory-mapped uint8 arrays by split, and the checks that change numbers. One rule per dataset, as in fetch.smk.


include: "../functions/prepare.smk"


for DATASET in PREPARED:

    rule:
        name:
            f"prepare_{DATASET}"
        input:
            raw=REGISTRY.raw_files(DATASET),
            receipts=[f"data/raw/{REGISTRY.raw_of(DATASET)}/receipt.json"],
        output:
            files=REGISTRY.prepared_files(DATASET)[:-1],
            manifest=f"data/prepared/{DATASET}/manifest.json",
            receipt=f"data/prepared/{DATASET}/receipt.json",
        log:
            f"logs/data/prepare/{DATASET}.log",
        benchmark:
            f"logs/data/prepare/{DATASET}.tsv"
        conda:
            "../envs/relatent.yaml"
        threads: decoding_workers(DATASET)
        resources:
            mem_mb=1000,
        params:
            cell=DATASET,
            settings=settings_json(REGISTRY.prepare_settings(DATASET)),
            code=code_digest("relatent.cli.prepare_dataset"),
        shell:
            "python -m relatent.cli.prepare_dataset --cell {params.cell} --settings {params.settings:q}"
            " --raw {input.raw} --receipts {input.receipts} --workers {threads}"
            " --manifest {output.manifest} --receipt {output.receipt} > {log} 2>&1"

    rule:
        name:
            f"check_data_{DATASET}"
        input:
            arrays=prepared_arrays(DATASET),
            manifest=f"data/prepared/{DATASET}/manifest.json",
            receipts=[f"data/prepared/{DATASET}/receipt.json"],
        output:
            checks=f"data/prepared/{DATASET}/checks.json",
            receipt=f"data/prepared/{DATASET}/checks.receipt.json",
        log:
            f"logs/data/check_data/{DATASET}.log",
        benchmark:
            f"logs/data/check_data/{DATASET}.tsv"
        conda:
            "../envs/relatent.yaml"
        resources:
            mem_mb=1000,
        params:
            cell=DATASET,
            settings=f'{{"dataset": "{DATASET}"}}',
            code=code_digest("relatent.cli.check_data"),
        shell:
            "python -m relatent.cli.check_data --cell {params.cell} --settings {params.settings:q}"
            " --manifest {input.manifest} --arrays {input.arrays} --receipts {input.receipts}"
            " --checks {output.checks} --receipt {output.receipt} > {log} 2>&1"


localrules:
    phase_prepare,


rule phase_prepare:
    input:
        [
            [*REGISTRY.prepared_files(name), f"data/prepared/{name}/checks.json"]
            for name in PREPARED
        ],
        [
            f"data/prepared/{name}/{receipt}"
            for name in PREPARED
            for receipt in ("receipt.json", "checks.receipt.json")
        ],
