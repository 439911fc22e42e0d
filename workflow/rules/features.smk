# One row's features of a target dataset.


include: "../functions/features.smk"


rule features:
    input:
        train_images="data/prepared/{target}/train_images.npy",
        validation_images=feature_validation_images,
        test_images="data/prepared/{target}/test_images.npy",
        weights=feature_weights,
        receipts=feature_receipts,
    output:
        train="results/{study}/features/{target}/{row}/train.npy",
        test="results/{study}/features/{target}/{row}/test.npy",
        layout="results/{study}/features/{target}/{row}/layout.json",
        receipt="results/{study}/features/{target}/{row}/receipt.json",
    log:
        "logs/{study}/features/{target}/{row}.log",
    benchmark:
        "logs/{study}/features/{target}/{row}.tsv"
    wildcard_constraints:
        target=one_of(PROBE_TARGETS),
        row=one_of(sorted({row for _, row in PLAIN_FEATURES})),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.probe.threads
    resources:
        mem_mb=3000,
    params:
        settings=feature_settings,
        options=feature_options,
        code=code_digest("relatent.cli.features"),
    shell:
        "python -m relatent.cli.features --cell {wildcards.target}/{wildcards.row} --settings {params.settings:q}"
        " --train-images {input.train_images} --test-images {input.test_images} {params.options}"
        " --receipts {input.receipts} --train {output.train} --test {output.test} --layout {output.layout}"
        " --receipt {output.receipt} > {log} 2>&1"


rule learn_features:
    input:
        train_images="data/prepared/{target}/train_images.npy",
        validation_images=feature_validation_images,
        test_images="data/prepared/{target}/test_images.npy",
        receipts=["data/prepared/{target}/receipt.json"],
    output:
        train="results/{study}/features/{target}/{row}/train.npy",
        test="results/{study}/features/{target}/{row}/test.npy",
        layout="results/{study}/features/{target}/{row}/layout.json",
        receipt="results/{study}/features/{target}/{row}/receipt.json",
    log:
        "logs/{study}/features/{target}/{row}.log",
    benchmark:
        "logs/{study}/features/{target}/{row}.tsv"
    wildcard_constraints:
        target=one_of(PROBE_TARGETS),
        row=one_of(sorted({row for _, row in LEARNED_FEATURES})),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.probe.threads
    resources:
        mem_mb=4000,
    params:
        settings=feature_settings,
        options=learn_options,
        code=code_digest("relatent.cli.learn_features"),
    shell:
        "python -m relatent.cli.learn_features --cell {wildcards.target}/{wildcards.row}"
        " --settings {params.settings:q} --train-images {input.train_images} --test-images {input.test_images}"
        " {params.options} --receipts {input.receipts} --train {output.train} --test {output.test}"
        " --layout {output.layout} --receipt {output.receipt} > {log} 2>&1"


rule phase_features:
    input:
        [
            f"results/{STUDY.study}/features/{target}/{row}/{name}"
            for target, row in [*PLAIN_FEATURES, *LEARNED_FEATURES]
            for name in ("train.npy", "test.npy", "layout.json", "receipt.json")
        ],
