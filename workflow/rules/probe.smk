# Linear probes on the features of every row, and the rows set side by side.


include: "../functions/probe.smk"


rule probe:
    input:
        train="results/{study}/features/{target}/{row}/train.npy",
        test="results/{study}/features/{target}/{row}/test.npy",
        layout="results/{study}/features/{target}/{row}/layout.json",
        train_labels="data/prepared/{target}/train_labels.npy",
        validation_labels=probe_validation_labels,
        test_labels="data/prepared/{target}/test_labels.npy",
        receipts=[
            "results/{study}/features/{target}/{row}/receipt.json",
            "data/prepared/{target}/receipt.json",
        ],
    output:
        metrics="results/{study}/probe/{target}/{row}/metrics.json",
        predictions="results/{study}/probe/{target}/{row}/predictions.npz",
        receipt="results/{study}/probe/{target}/{row}/receipt.json",
    log:
        "logs/{study}/probe/{target}/{row}.log",
    benchmark:
        "logs/{study}/probe/{target}/{row}.tsv"
    wildcard_constraints:
        target=one_of(PROBE_TARGETS),
        row=one_of(sorted({row for _, row in PROBED})),
    conda:
        "../envs/relatent.yaml"
    threads: probe_threads
    resources:
        mem_mb=probe_memory_mb,
    params:
        settings=probe_settings,
        options=probe_options,
        code=code_digest("relatent.cli.probe"),
    shell:
        "python -m relatent.cli.probe --cell {wildcards.target}/{wildcards.row} --settings {params.settings:q}"
        " --train {input.train} --test {input.test} --layout {input.layout} --train-labels {input.train_labels}"
        " {params.options} --test-labels {input.test_labels} --receipts {input.receipts} --metrics {output.metrics}"
        " --predictions {output.predictions} --receipt {output.receipt} > {log} 2>&1"


rule rival:
    input:
        train=rival_train,
        validation=rival_validation,
        test=rival_test,
        train_labels="data/prepared/{target}/train_labels.npy",
        validation_labels=probe_validation_labels,
        test_labels="data/prepared/{target}/test_labels.npy",
        receipts=rival_receipts,
    output:
        metrics="results/{study}/probe/{target}/{row}/metrics.json",
        predictions="results/{study}/probe/{target}/{row}/predictions.npz",
        receipt="results/{study}/probe/{target}/{row}/receipt.json",
    log:
        "logs/{study}/probe/{target}/{row}.log",
    benchmark:
        "logs/{study}/probe/{target}/{row}.tsv"
    wildcard_constraints:
        target=one_of(PROBE_TARGETS),
        row=one_of(sorted({row for _, row in RIVALS})),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.probe.threads
    resources:
        mem_mb=probe_memory_mb,
    params:
        settings=rival_settings,
        options=rival_options,
        code=code_digest("relatent.cli.rival"),
    shell:
        "python -m relatent.cli.rival --cell {wildcards.target}/{wildcards.row} --settings {params.settings:q}"
        " --train {input.train} --test {input.test} --train-labels {input.train_labels} {params.options}"
        " --test-labels {input.test_labels} --receipts {input.receipts} --metrics {output.metrics}"
        " --predictions {output.predictions} --receipt {output.receipt} > {log} 2>&1"


rule probe_pictures:
    input:
        train="results/{study}/features/{target}/{row}/train.npy",
        test="results/{study}/features/{target}/{row}/test.npy",
        train_images="data/prepared/{target}/train_images.npy",
        validation_images=feature_validation_images,
        test_images="data/prepared/{target}/test_images.npy",
        train_labels="data/prepared/{target}/train_labels.npy",
        validation_labels=probe_validation_labels,
        test_labels="data/prepared/{target}/test_labels.npy",
        receipts=[
            "results/{study}/features/{target}/{row}/receipt.json",
            "data/prepared/{target}/receipt.json",
        ],
    output:
        pictures="results/{study}/probe/{target}/{row}/pictures.npz",
        receipt="results/{study}/probe/{target}/{row}/pictures.receipt.json",
    log:
        "logs/{study}/probe/{target}/{row}.pictures.log",
    benchmark:
        "logs/{study}/probe/{target}/{row}.pictures.tsv"
    wildcard_constraints:
        target=one_of(PROBE_TARGETS),
        row=one_of(sorted({row for _, row in PICTURED})),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.probe.threads
    resources:
        mem_mb=2000,
    params:
        settings=settings_json(STUDY.probe.picture_settings()),
        options=picture_options,
        code=code_digest("relatent.cli.probe_pictures"),
    shell:
        "python -m relatent.cli.probe_pictures --cell {wildcards.target}/{wildcards.row}"
        " --settings {params.settings:q} --train {input.train} --test {input.test}"
        " --train-images {input.train_images} --test-images {input.test_images} --train-labels {input.train_labels}"
        " --test-labels {input.test_labels} {params.options} --receipts {input.receipts}"
        " --pictures {output.pictures} --receipt {output.receipt} > {log} 2>&1"


rule compare_rows:
    input:
        predictions=compared_predictions,
        test_labels="data/prepared/{target}/test_labels.npy",
        receipts=compared_receipts,
    output:
        comparisons="results/{study}/probe/{target}/comparisons/comparisons.json",
        receipt="results/{study}/probe/{target}/comparisons/receipt.json",
    log:
        "logs/{study}/probe/{target}/comparisons.log",
    benchmark:
        "logs/{study}/probe/{target}/comparisons.tsv"
    wildcard_constraints:
        target=one_of(STUDY.probe.compared()),
    conda:
        "../envs/relatent.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        settings=compare_settings,
        code=code_digest("relatent.cli.compare_rows"),
    shell:
        "python -m relatent.cli.compare_rows --cell {wildcards.target}/comparisons --settings {params.settings:q}"
        " --predictions {input.predictions} --test-labels {input.test_labels} --receipts {input.receipts}"
        " --comparisons {output.comparisons} --receipt {output.receipt} > {log} 2>&1"


rule phase_probe:
    input:
        [
            f"results/{STUDY.study}/probe/{target}/{row}/{name}"
            for target, row in [*PROBED, *RIVALS]
            for name in ("metrics.json", "predictions.npz", "receipt.json")
        ],
        [
            f"results/{STUDY.study}/probe/{target}/{row}/{name}"
            for target, row in PICTURED
            for name in ("pictures.npz", "pictures.receipt.json")
        ],
        [
            f"results/{STUDY.study}/probe/{target}/comparisons/{name}"
            for target in STUDY.probe.compared()
            for name in ("comparisons.json", "receipt.json")
        ],
