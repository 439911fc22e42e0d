rule evaluate_nll:
    input:
        weights="results/{study}/train_density/digits/{cell}/model.npy",
        images="data/prepared/digits/train_images.npy",
        receipts=[
            "results/{study}/train_density/digits/{cell}/receipt.json",
            "data/prepared/digits/receipt.json",
        ],
    output:
        metrics="results/{study}/evaluate_nll/digits/{cell}/metrics.json",
        receipt="results/{study}/evaluate_nll/digits/{cell}/receipt.json",
    log:
        "logs/{study}/evaluate_nll/{cell}.log",
    params:
        settings=json.dumps(config["evaluate"]),
        code=code_digest("relatent.cli.toy_score"),
    shell:
        "python -m relatent.cli.toy_score --cell digits/{wildcards.cell} --settings {params.settings:q}"
        " --weights {input.weights} --images {input.images} --metrics {output.metrics}"
        " --receipts {input.receipts} --receipt {output.receipt} > {log} 2>&1"


rule phase_evaluate_nll:
    input:
        expand(
            "results/{study}/evaluate_nll/digits/{cell}/{file}",
            study=STUDY,
            cell=CELLS,
            file=["metrics.json", "receipt.json"],
        ),
