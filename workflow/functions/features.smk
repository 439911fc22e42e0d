# What the rules of features use: cells, settings, input functions.
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
