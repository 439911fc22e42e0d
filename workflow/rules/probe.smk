# Linear probes on the features of every row, and the rows set side by side.
def probe_settings(wildcards):
    return settings_json(STUDY.probe.settings_of(f"{wildcards.target}/{wildcards.row}"))


def probe_threads(wildcards):
    return STUDY.probe.targets[wildcards.target].threads


def probe_memory_mb(wildcards, input):
    """Features as float32, twice: once on disk and mapped, once chosen by rows."""
    return 1500 + int(3 * input.size_mb)


def probe_validation_labels(wildcards):
    """Labels of the validation split, where the target's protocol uses it."""
    if STUDY.probe.targets[wildcards.target].validation == "split":
        return [f"data/prepared/{wildcards.target}/validation_labels.npy"]
    return []


def probe_options(wildcards):
    paths = probe_validation_labels(wildcards)
    return f"--validation-labels {paths[0]}" if paths else ""


def compare_settings(wildcards):
    return settings_json(STUDY.probe.compare_settings_of(wildcards.target))


def compared_rows(wildcards):
    """Rows named in the target's pairs, each once."""
    pairs = STUDY.probe.targets[wildcards.target].compare
    return list(dict.fromkeys(row for pair in pairs for row in pair))


def compared_predictions(wildcards):
    folder = f"results/{wildcards.study}/probe/{wildcards.target}"
    return [f"{folder}/{row}/predictions.npz" for row in compared_rows(wildcards)]


def compared_receipts(wildcards):
    folder = f"results/{wildcards.study}/probe/{wildcards.target}"
    return [
        f"data/prepared/{wildcards.target}/receipt.json",
        *(f"{folder}/{row}/receipt.json" for row in compared_rows(wildcards)),
    ]


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
        row=one_of(PROBE_ROWS),
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
            for target, row in PROBED
            for name in ("metrics.json", "predictions.npz", "receipt.json")
        ],
        [
            f"results/{STUDY.study}/probe/{target}/comparisons/{name}"
            for target in STUDY.probe.compared()
            for name in ("comparisons.json", "receipt.json")
        ],
