# What the rules of probe use: cells, settings, input functions.
PROBED = STUDY.probe.probed()


RIVALS = STUDY.probe.rivals()


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


PICTURED = [cell.split("/", 1) for cell in STUDY.probe.pictures]


def picture_options(wildcards):
    """Options for a validation split, which not every dataset has."""
    return " ".join(
        f"--{Path(path).stem.replace('_', '-')} {path}"
        for path in [
            *feature_validation_images(wildcards),
            *probe_validation_labels(wildcards),
        ]
    )


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


def rival_settings(wildcards):
    return settings_json(
        STUDY.probe.rival_settings_of(f"{wildcards.target}/{wildcards.row}")
    )


def rival_features(wildcards):
    """Folder of the features a rival works on; none for a net, which sees images."""
    row = STUDY.probe.features_row(wildcards.row)
    return f"results/{wildcards.study}/features/{wildcards.target}/{row}" if row else ""


def rival_train(wildcards):
    folder = rival_features(wildcards)
    return (
        f"{folder}/train.npy"
        if folder
        else f"data/prepared/{wildcards.target}/train_images.npy"
    )


def rival_validation(wildcards):
    """Validation images, for a net; features have them in train."""
    return [] if rival_features(wildcards) else feature_validation_images(wildcards)


def rival_test(wildcards):
    folder = rival_features(wildcards)
    return (
        f"{folder}/test.npy"
        if folder
        else f"data/prepared/{wildcards.target}/test_images.npy"
    )


def rival_receipts(wildcards):
    folder = rival_features(wildcards)
    return [
        f"data/prepared/{wildcards.target}/receipt.json",
        *([f"{folder}/receipt.json"] if folder else []),
    ]


def rival_options(wildcards):
    images = rival_validation(wildcards)
    return " ".join(
        [*(f"--validation {path}" for path in images), probe_options(wildcards)]
    )
