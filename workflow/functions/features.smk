# What the rules of features use: cells, settings, input functions.
PLAIN_FEATURES = STUDY.probe.features(learned=False)


LEARNED_FEATURES = STUDY.probe.features(learned=True)


PROBE_TARGETS = sorted({cell.partition("/")[0] for cell in STUDY.probe.cells()})


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


def learn_options(wildcards):
    """Options of learned features."""
    paths = feature_validation_images(wildcards)
    return f"--validation-images {paths[0]}" if paths else ""
