"""Features of a frozen discriminator, as in Radford et al. 2016, sec. 5.1 and the released SVHN script.

Every convolution's maps after the activation, max-pooled without overlap to 4 x 4, flattened and set side by side. No
standardisation and no normalisation follow, as in the script.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from relatent.models.dcgan import Discriminator, estimate_statistics, scaled
from relatent.models.dcgan_nets import POOLED_SIDE
from relatent.progress import Progress

Images = np.ndarray


def reestimate_statistics(net: Discriminator, images: Images, batch_size: int) -> None:
    """Put the net's batch-norm statistics at their averages over minibatches of the target's training images.

    As the released SVHN script does. A last, smaller batch is left out, as there; labels are not used.

    Args:
        images: uint8 (image, channel, height, width), in any order: a minibatch takes every m-th image, so that a set
            sorted by class does not give batches of one class.
    """
    batches = max(1, len(images) // batch_size)
    size = min(batch_size, len(images))

    def inputs() -> Iterator[tuple[Tensor]]:
        for first in range(batches):
            yield (scaled(torch.from_numpy(np.ascontiguousarray(images[first::batches][:size])), net.net.output),)

    estimate_statistics(net, inputs())


def layer_sizes(net: Discriminator) -> list[int]:
    """Features of each convolution after pooling, in the order in which they stand in a row of features."""
    layers = zip(net.net.discriminator, net.net.feature_sides, strict=True)
    return [maps * net.net.width * min(side, POOLED_SIDE) ** 2 for (maps, _), side in layers]


@torch.no_grad()
def discriminator_features(net: Discriminator, images: Images, out: np.ndarray, batch_size: int) -> None:
    """Write the features of every image into `out`, (image, feature), which may be a memory map.

    Args:
        net: in eval mode with statistics in place, so that an image's features do not depend on its batch.
        images: uint8 (image, channel, height, width).

    Raises:
        ValueError: `out` has another shape.
    """
    if out.shape != (len(images), net.net.feature_units):
        raise ValueError(f"{net.net.name} gives {(len(images), net.net.feature_units)} features, out is {out.shape}")
    with Progress("features", len(images), "images") as progress:
        for start in range(0, len(images), batch_size):
            x = scaled(torch.from_numpy(np.array(images[start : start + batch_size])), net.net.output)
            out[start : start + len(x)] = torch.cat([pooled(maps) for maps in net.feature_maps(x)], dim=1).numpy()
            progress.advance(len(x))


def pooled(maps: Tensor) -> Tensor:
    """Maps (batch, map, height, width) max-pooled without overlap to 4 x 4 and flattened; smaller maps as they are."""
    window = max(1, maps.shape[-1] // POOLED_SIDE)
    return F.max_pool2d(maps, window).contiguous().flatten(1)
