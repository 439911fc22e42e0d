# What the rules of sample_density use: cells, settings, input functions.
from relatent.config.density import DensityCellName


from relatent.config.evaluation import PosteriorGridCell, sample_cell

SAMPLED_DENSITIES = [cell.split("/", 1) for cell in STUDY.sample.density_cells()]


# Models of two latents, whose true posterior can be seen: figure 2 of Burda et al. 2016.
TWO_LATENTS = [
    [dataset, cell]
    for dataset, cell in SAMPLED_DENSITIES
    if DensityCellName.parse(f"{dataset}/{cell}").two_d
]


def posterior_grid_settings(wildcards):
    seeds = STUDY.density.settings_of(f"{wildcards.dataset}/{wildcards.cell}").seeds
    return settings_json(PosteriorGridCell(model_seed=seeds[0]))


def sample_density_settings(wildcards):
    cell = f"{wildcards.dataset}/{wildcards.cell}"
    shared = STUDY.sample.settings_of(cell).model_dump()
    return settings_json(sample_cell(shared, STUDY.density.settings_of(cell).seeds))


def sample_density_files():
    """All files of this part of the phase."""
    folder = f"results/{STUDY.study}/sample"
    names = (
        "samples.npy",
        "interpolation.npy",
        "filters.npz",
        "metrics.json",
        "receipt.json",
    )
    grids = ("posterior.npz", "metrics.json", "receipt.json")
    return [
        *(
            f"{folder}/{d}/{cell}/{name}"
            for d, cell in SAMPLED_DENSITIES
            for name in names
        ),
        *(
            f"{folder}/{d}/{cell}/posterior/{name}"
            for d, cell in TWO_LATENTS
            for name in grids
        ),
    ]
