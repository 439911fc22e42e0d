rule fetch:
    output:
        numbers="data/raw/digits/numbers.npy",
        receipt="data/raw/digits/receipt.json",
    log:
        "logs/data/fetch.log",
    params:
        settings=json.dumps({"n": config["n"]}),
        code=code_digest("relatent.cli.toy_fetch"),
    shell:
        "python -m relatent.cli.toy_fetch --cell digits --settings {params.settings:q} --numbers {output.numbers}"
        " --receipt {output.receipt} > {log} 2>&1"


rule prepare:
    input:
        numbers="data/raw/digits/numbers.npy",
        receipts=["data/raw/digits/receipt.json"],
    output:
        images="data/prepared/digits/train_images.npy",
        receipt="data/prepared/digits/receipt.json",
    log:
        "logs/data/prepare.log",
    params:
        code=code_digest("relatent.cli.toy_prepare"),
    shell:
        "python -m relatent.cli.toy_prepare --cell digits --numbers {input.numbers} --images {output.images}"
        " --receipts {input.receipts} --receipt {output.receipt} > {log} 2>&1"


rule phase_fetch:
    input:
        "data/raw/digits/numbers.npy",
        "data/raw/digits/receipt.json",


rule phase_prepare:
    input:
        "data/prepared/digits/train_images.npy",
        "data/prepared/digits/receipt.json",
