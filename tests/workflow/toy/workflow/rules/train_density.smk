def train_settings(wildcards):
    return json.dumps(config["train"][wildcards.cell])


rule train_density:
    input:
        images="data/prepared/digits/train_images.npy",
        receipts=["data/prepared/digits/receipt.json"],
    output:
        weights="results/{study}/train_density/digits/{cell}/model.npy",
        history="results/{study}/train_density/digits/{cell}/history.csv",
        receipt="results/{study}/train_density/digits/{cell}/receipt.json",
    log:
        "logs/{study}/train_density/{cell}.log",
    benchmark:
        "logs/{study}/train_density/{cell}.tsv"
    params:
        settings=train_settings,
        code=code_digest("relatent.cli.toy_train"),
    shell:
        "python -m relatent.cli.toy_train --cell digits/{wildcards.cell} --settings {params.settings:q}"
        " --images {input.images} --weights {output.weights} --history {output.history}"
        " --receipts {input.receipts} --receipt {output.receipt} > {log} 2>&1"


rule phase_train_density:
    input:
        expand(
            "results/{study}/train_density/digits/{cell}/{file}",
            study=STUDY,
            cell=CELLS,
            file=["model.npy", "history.csv", "receipt.json"],
        ),
