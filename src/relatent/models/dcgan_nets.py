"""DCGAN's networks described in a few numbers each, and their names (Radford, Metz, Chintala 2016). No torch here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

POOLED_SIDE = 4  # sec. 5.1: features are max-pooled to 4 x 4


@dataclass(frozen=True)
class Net:
    """What a generator and its discriminator look like. Maps are multiples of `width`.

    Attributes:
        side: height and width of an image, in pixels.
        latent: size of z.
        width: maps of the discriminator's first convolution.
        kernel: side of every convolution's kernel.
        stem: maps and side of what z is projected to.
        generator: (maps, stride) of each hidden fractionally-strided convolution; the image layer follows.
        image_stride: stride of the generator's last convolution.
        discriminator: (maps, stride) of each convolution.
        classes: of a conditional net, whose layers all see the label; 0 if there are none.
        dense: units, in multiples of `width`, of a hidden dense layer in both nets; 0 for none.
        output: "tanh" for images in [-1, 1], "sigmoid" for [0, 1].
        gain_and_shift: whether batch norm learns them.
        batch_norm, strided, generator_activation, discriminator_activation: the rules an ablation takes away.
    """

    name: str
    side: int
    latent: int
    width: int
    kernel: int
    stem: tuple[int, int]
    generator: tuple[tuple[int, int], ...]
    image_stride: int
    discriminator: tuple[tuple[int, int], ...]
    classes: int = 0
    dense: int = 0
    output: str = "tanh"
    gain_and_shift: bool = True
    batch_norm: bool = True
    strided: bool = True
    generator_activation: str = "relu"
    discriminator_activation: str = "leaky_relu"

    @property
    def feature_sides(self) -> list[int]:
        """Side of each convolution's maps in the discriminator."""
        sides, side = [], self.side
        for _, stride in self.discriminator:
            side //= stride
            sides.append(side)
        return sides

    @property
    def feature_units(self) -> int:
        """Probe features: every convolution's maps, pooled to 4 x 4 where larger."""
        return sum(
            maps * self.width * min(side, POOLED_SIDE) ** 2
            for (maps, _), side in zip(self.discriminator, self.feature_sides, strict=True)
        )


NETS = {
    net.name: net
    for net in (
        # Figure 1 and the released faces script.
        Net(
            name="lsun64", side=64, latent=100, width=128, kernel=5, stem=(8, 4), image_stride=2,
            generator=((4, 2), (2, 2), (1, 2)), discriminator=((1, 2), (2, 2), (4, 2), (8, 2)),
        ),
        # The net behind Table 1's 28,672 features: released weights imagenet_gan_pretrain_128f_relu_lrelu_7l_3x3_256z.
        # The generator mirrors the discriminator: its second and third weights are among the files too large for the
        # code's repository listing, as 512x512x3x3 and 512x256x3x3 are and 256x256x3x3 is not.
        Net(
            name="imagenet32", side=32, latent=256, width=128, kernel=3, stem=(4, 4), image_stride=1,
            generator=((4, 2), (2, 1), (2, 2), (1, 1), (1, 2)),
            discriminator=((1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2)),
        ),
        # The released semi-supervised SVHN script.
        Net(
            name="svhn32", side=32, latent=100, width=64, kernel=5, stem=(4, 4), image_stride=2,
            generator=((2, 2), (1, 2)), discriminator=((1, 2), (2, 2), (4, 2)),
        ),
        # The supplement's script: labels at every layer, hidden dense layers, no gain or shift, images in [0, 1].
        Net(
            name="mnist_conditional", side=28, latent=100, width=64, kernel=5, stem=(2, 7), image_stride=2,
            generator=((1, 2),), discriminator=((1, 2), (2, 2)), classes=10, dense=16, output="sigmoid",
            gain_and_shift=False,
        ),
    )
}  # fmt: skip

# The five rules of sec. 3, each taken away by a suffix of the net's name.
ABLATIONS: Mapping[str, Mapping[str, object]] = {
    "pooling": {"strided": False},  # max-pooling in D, nearest-neighbour upsampling in G
    "nobn": {"batch_norm": False},  # no batch norm; biases instead
    "dense": {"dense": 16},  # a hidden dense layer in both nets
    "sigmoid": {"generator_activation": "sigmoid"},  # not ReLU in G
    "relu": {"discriminator_activation": "relu"},  # not LeakyReLU in D
}


def net_named(name: str) -> Net:
    """The net of a name such as `lsun64`, `svhn32-w16` or `svhn32-w16-nobn`.

    Raises:
        ValueError: no such net, width or ablation.
    """
    base, *suffixes = name.split("-")
    if base not in NETS:
        raise ValueError(f"{name}: no net {base!r}; there are {', '.join(NETS)}")
    net = NETS[base]
    for suffix in suffixes:
        if re.fullmatch(r"w[1-9]\d*", suffix):
            net = replace(net, width=int(suffix[1:]))
        elif re.fullmatch(r"k[345]", suffix):
            net = replace(net, kernel=int(suffix[1:]))
        elif suffix in ABLATIONS:
            net = replace(net, **ABLATIONS[suffix])  # type: ignore[arg-type]
        else:
            raise ValueError(
                f"{name}: no suffix {suffix!r}; there are a width such as w16, a kernel k3 to k5 and the ablations "
                f"{', '.join(ABLATIONS)}"
            )
    return replace(net, name=name)
