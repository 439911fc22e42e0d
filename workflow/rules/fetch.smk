# Raw bytes: one rule per dataset, since each has files of its own. Paths hold no study: data/ is shared by all.
from relatent.config.registry import load_registry

REGISTRY = load_registry()
# What is prepared may be made from another dataset's files: digits32 from those of digits.
FETCHED = list(dict.fromkeys(REGISTRY.raw_of(name) for name in STUDY.data.cells()))


for DATASET in FETCHED:

    rule:
        name:
            f"fetch_{DATASET}"
        output:
            files=REGISTRY.raw_files(DATASET),
            checksums=f"data/raw/{DATASET}/checksums.json",
            receipt=f"data/raw/{DATASET}/receipt.json",
        log:
            f"logs/data/fetch/{DATASET}.log",
        benchmark:
            f"logs/data/fetch/{DATASET}.tsv"
        retries: 1  # the fetcher itself goes through every source, with back-off
        conda:
            "../envs/relatent.yaml"
        resources:
            mem_mb=500,
        params:
            cell=DATASET,
            settings=settings_json(REGISTRY.fetch_settings(DATASET)),
            code=code_digest("relatent.cli.fetch_dataset"),
        shell:
            "python -m relatent.cli.fetch_dataset --cell {params.cell} --settings {params.settings:q}"
            " --checksums {output.checksums} --receipt {output.receipt} > {log} 2>&1"


localrules:
    phase_fetch,


rule phase_fetch:
    input:
        [
            [*REGISTRY.raw_files(name), f"data/raw/{name}/checksums.json"]
            for name in FETCHED
        ],
        [f"data/raw/{name}/receipt.json" for name in FETCHED],
