"""The true posteriors of a model of two latents on a grid, beside q: Burda et al. 2016, fig. 2."""

import sys
from collections.abc import Sequence

from relatent.cli.density_files import read_models
from relatent.cli.image_files import read_images
from relatent.cli.job import JobParser, run
from relatent.config.evaluation import PosteriorGridCell
from relatent.errors import ConfigError
from relatent.ledger.files import atomic_path, write_json


def main(argv: Sequence[str] | None = None) -> int | None:
    """Read, evaluate, write."""
    parser = JobParser("posterior_grid", "relatent.cli.posterior_grid", PosteriorGridCell, __doc__)
    parser.input("model", "safetensors, tensors named seed<seed>.<parameter>; one layer of two latents")
    parser.input("images", "uint8 (n, channel, height, width); the first few are shown")
    parser.output("posterior", "npz: axis, log_posterior, log_px, kl, q_mean, q_sd, images, reconstructions")
    parser.output("metrics")
    job = parser.parse(argv)
    settings = job.settings

    import numpy as np

    from relatent.data.binarisation import static
    from relatent.evaluation.posterior_grid import posterior_grid
    from relatent.training.runtime import configure_torch

    determinism = configure_torch(settings.threads)
    grey = np.asarray(read_images(job.inputs["images"])[: settings.images])
    x = static(grey, settings.seed).reshape(len(grey), -1)
    model = read_models(job.inputs["model"], [settings.model_seed])[settings.model_seed]
    try:
        grid = posterior_grid(model, x, settings.points, settings.reach, settings.q_samples, settings.seed)
    except ValueError as error:
        raise ConfigError(f"{job.cell}: {error}; run it for a cell with the suffix 2d") from None
    with atomic_path(job.outputs["posterior"]) as path:
        np.savez(
            path,
            axis=grid.axis,
            log_posterior=grid.log_posterior.astype(np.float32),
            log_px=grid.log_px,
            kl=grid.kl_from_posterior,
            q_mean=grid.q_mean,
            q_sd=grid.q_sd,
            images=x.reshape(grey.shape),
            reconstructions=grid.reconstructions.reshape(len(x), -1, *grey.shape[1:]).astype(np.float32),
        )
    sizes = {"unit": "nats", "n_images": len(x), "model_seed": settings.model_seed}
    metrics = {
        "log_px_nats": {"value": float(grid.log_px.mean()), **sizes},
        "kl_q_from_posterior_nats": {"value": float(grid.kl_from_posterior.mean()), **sizes},
    }
    write_json(job.outputs["metrics"], metrics)
    job.finish(seeds=[settings.seed], threads=settings.threads, determinism=determinism)
    return None


if __name__ == "__main__":
    sys.exit(run(main))
