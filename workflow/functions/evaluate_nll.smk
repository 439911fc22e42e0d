# What the rules of evaluate_nll use: cells, settings, input functions.
EVALUATED = [cell.split("/", 1) for cell in STUDY.density.cells()]


MEASURED = {
    measure: [cell.split("/", 1) for cell in cells]
    for measure, cells in STUDY.measured_cells().items()
}


def evaluate_settings(wildcards):
    seeds = STUDY.density.settings_of(f"{wildcards.dataset}/{wildcards.cell}").seeds
    return settings_json(STUDY.evaluate_nll.settings_of(seeds))


def annealing_settings(wildcards):
    cell = f"{wildcards.dataset}/{wildcards.cell}"
    return settings_json(
        STUDY.evaluate_nll.annealing_of(cell, STUDY.density.settings_of(cell).seeds)
    )


def train_minus_test_settings(wildcards):
    cell = f"{wildcards.dataset}/{wildcards.cell}"
    return settings_json(
        STUDY.evaluate_nll.train_minus_test_of(STUDY.density.settings_of(cell).seeds)
    )


def repeated_settings(wildcards):
    cell = f"{wildcards.dataset}/{wildcards.cell}"
    return settings_json(
        STUDY.evaluate_nll.repeated_of(STUDY.density.settings_of(cell).seeds)
    )


def removed_settings(wildcards):
    cell = f"{wildcards.dataset}/{wildcards.cell}"
    return settings_json(
        STUDY.evaluate_nll.removed_of(STUDY.density.settings_of(cell).seeds)
    )


def exact_settings(wildcards):
    return settings_json(STUDY.exact.settings_of(wildcards.model))


def exact_dataset(name, wildcards):
    return f"data/prepared/{STUDY.exact.dataset}/{name}"


def exact_train_images(wildcards):
    return exact_dataset("train_images.npy", wildcards)


def exact_test_images(wildcards):
    return exact_dataset("test_images.npy", wildcards)


def exact_receipt(wildcards):
    return exact_dataset("receipt.json", wildcards)
