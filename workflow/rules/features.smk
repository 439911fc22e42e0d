# One row's features of a target dataset.
PROBED = [cell.split("/", 1) for cell in STUDY.probe.cells()]
PROBE_TARGETS = sorted({target for target, _ in PROBED})
PROBE_ROWS = sorted({row for _, row in PROBED})


def feature_settings(wildcards):
    return settings_json(
        STUDY.probe.feature_settings_of(f"{wildcards.target}/{wildcards.row}")
    )


def feature_validation_images(wildcards):
    """The validation split, where the target's protocol uses it."""
    if STUDY.probe.targets[wildcards.target].validation == "split":
        return [f"data/prepared/{wildcards.target}/validation_images.npy"]
    return []


def feature_weights(wildcards):
    """The weights of the row's net; none if it has no net or a random one."""
    path = STUDY.probe.rows[wildcards.row].weights_file
    return [f"results/{wildcards.study}/{path}"] if path else []


def feature_receipts(wildcards):
    """Receipts of the images and of the weights."""
    folders = [str(Path(path).parent) for path in feature_weights(wildcards)]
    return [
        f"data/prepared/{wildcards.target}/receipt.json",
        *(f"{folder}/receipt.json" for folder in folders),
    ]


def feature_options(wildcards):
    """Options for the inputs that not every row has."""
    named = {
        "--validation-images": feature_validation_images(wildcards),
        "--weights": feature_weights(wildcards),
    }
    return " ".join(f"{option} {paths[0]}" for option, paths in named.items() if paths)


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
        row=one_of(PROBE_ROWS),
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


rule phase_features:
    input:
        [
            f"results/{STUDY.study}/features/{target}/{row}/{name}"
            for target, row in PROBED
            for name in ("train.npy", "test.npy", "layout.json", "receipt.json")
        ],
