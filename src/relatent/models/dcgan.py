"""DCGAN's four networks, built from one description each and never mixed (Radford, Metz, Chintala 2016).

The paper's figure, its probe, the released SVHN script and its MNIST supplement use different nets. `net_named` knows
them by name; a suffix gives a width for small machines (`svhn32-w16`) or takes one of the paper's five rules away
(`svhn32-w16-nobn`), for the ablation. Colour or grey is the dataset's choice, so channels are an argument.
"""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relatent.models.convolutions import FractionallyStridedConv, StridedConv
from relatent.models.dcgan_nets import Net, net_named

LEAK = 0.2  # Radford et al. 2016, sec. 4
INIT_SD = 0.02  # sec. 4, "All weights were initialized from a zero-centered Normal distribution"


_ACTIVATIONS = {
    # In place: neither a convolution nor batch norm needs its own output to be differentiated.
    "relu": F.relu_,
    "leaky_relu": lambda x: F.leaky_relu_(x, LEAK),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


class BatchNorm(nn.Module):
    """Batch norm without a running average, as in the released code.

    While training, a batch is normalised by its own moments. In `eval` mode the moments are those in the buffers, put
    there by `estimate_statistics` from a stated reference; so an image does not depend on the batch it is made in. A
    running average would mix D's real and fake batches.

    `groups` normalises equal parts of a batch apart: what several processes with a part each compute. `average`, a
    mean over processes that gradients pass through, makes them share their moments instead.
    """

    mean: Tensor
    variance: Tensor
    estimated: Tensor

    def __init__(self, features: int, gain_and_shift: bool, eps: float) -> None:
        super().__init__()
        self.features, self.eps, self.groups = features, eps, 1
        self.weight = nn.Parameter(torch.ones(features)) if gain_and_shift else None
        self.bias = nn.Parameter(torch.zeros(features)) if gain_and_shift else None
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))
        self.register_buffer("estimated", torch.tensor(False))
        self.observed: list[tuple[Tensor, Tensor]] | None = None
        self.average: Callable[[Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, (batch, feature) or (batch, feature, height, width), per feature.

        Raises:
            ValueError: in eval mode before `estimate_statistics`.
        """
        if not self.training:
            if not self.estimated:
                raise ValueError(
                    "batch norm has no reference statistics yet; call estimate_statistics before evaluating this net"
                )
            return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, False, 0.0, self.eps)
        if self.observed is not None:
            axes = [axis for axis in range(x.dim()) if axis != 1]
            self.observed.append((x.mean(axes), x.var(axes, unbiased=False)))
        if self.average is not None:
            return self._shared(x, self.average)
        parts = x.chunk(self.groups) if self.groups > 1 else [x]
        done = [F.batch_norm(part, None, None, self.weight, self.bias, True, 0.0, self.eps) for part in parts]
        return torch.cat(done) if len(done) > 1 else done[0]

    def _shared(self, x: Tensor, average: Callable[[Tensor], Tensor]) -> Tensor:
        """Normalise by the moments over all processes' parts."""
        axes = [axis for axis in range(x.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
        centred = x - average(x.mean(axes)).view(shape)
        normed = centred * torch.rsqrt(average(centred.square().mean(axes)) + self.eps).view(shape)
        if self.weight is None or self.bias is None:
            return normed
        return normed * self.weight.view(shape) + self.bias.view(shape)


@torch.no_grad()
def estimate_statistics(net: nn.Module, batches: Iterable[tuple[Tensor | None, ...]]) -> None:
    """Set every batch norm's moments to the average of its moments over `batches`, and put the net in eval mode.

    As the released SVHN script does before it takes features: each batch is normalised by itself, and the moments are
    averaged over batches. With one batch it is the reference batch of sampling.

    Args:
        net: a Generator or a Discriminator.
        batches: arguments of its forward, such as (z,) or (x, labels).

    Raises:
        ValueError: no batches.
    """
    norms = [module for module in net.modules() if isinstance(module, BatchNorm)]
    net.train()
    for norm in norms:
        norm.observed = []
    count = 0
    try:
        for arguments in batches:
            net(*arguments)
            count += 1
        if count == 0:
            raise ValueError("no batches to estimate batch-norm statistics from")
        for norm in norms:
            assert norm.observed is not None
            norm.mean.copy_(torch.stack([mean for mean, _ in norm.observed]).mean(0))
            norm.variance.copy_(torch.stack([variance for _, variance in norm.observed]).mean(0))
            norm.estimated.fill_(True)
    finally:
        for norm in norms:
            norm.observed = None
    net.eval()


class _Block(nn.Module):
    """A layer without bias, batch norm, activation; the norm and the activation may be absent."""

    def __init__(self, layer: nn.Module, norm: nn.Module | None, activation: str | None) -> None:
        super().__init__()
        self.layer, self.norm, self.activation = layer, norm, activation

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        if self.norm is not None:
            x = self.norm(x)
        return x if self.activation is None else _ACTIVATIONS[self.activation](x)


class Generator(nn.Module):
    """z to an image: a projection, then fractionally-strided convolutions.

    Args:
        net: the description.
        channels: of an image, 1 or 3.
        eps: of batch norm.
    """

    def __init__(self, net: Net, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.net, self.channels = net, channels

        def block(layer: nn.Module, features: int) -> _Block:
            norm = BatchNorm(features, net.gain_and_shift, eps) if net.batch_norm else None
            return _Block(layer, norm, net.generator_activation)

        bias = not net.batch_norm
        maps, side = net.stem[0] * net.width, net.stem[1]
        inputs = net.latent + net.classes
        self.dense: _Block | None = None
        if net.dense:
            self.dense = block(nn.Linear(inputs, net.dense * net.width, bias=bias), net.dense * net.width)
            inputs = net.dense * net.width + net.classes
        self.stem = block(nn.Linear(inputs, maps * side**2, bias=bias), maps * side**2)
        self.convs = nn.ModuleList()
        for multiple, stride in net.generator:
            self.convs.append(
                block(self._conv(maps + net.classes, multiple * net.width, stride, bias), multiple * net.width)
            )
            maps = multiple * net.width
        self.image = _Block(self._conv(maps + net.classes, channels, net.image_stride, bias), None, net.output)

    def _conv(self, inputs: int, outputs: int, stride: int, bias: bool) -> nn.Module:
        kernel = self.net.kernel
        if self.net.strided:
            extra = stride - 1 if kernel % 2 else 0  # so that the side is exactly `stride` times as long
            return FractionallyStridedConv(
                inputs, outputs, kernel, stride, (kernel - 1) // 2, output_padding=extra, bias=bias
            )  # fmt: skip
        plain = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        return plain if stride == 1 else nn.Sequential(nn.Upsample(scale_factor=stride), plain)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images, (batch, channel, height, width) in the range of `net.output`, from z, (batch, latent).

        Args:
            labels: (batch,) int64, of a conditional net.
        """
        return self.image(_with_label(self.hidden_maps(z, labels)[-1], labels, self.net.classes))

    def hidden_maps(self, z: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        """What each hidden convolutional layer answers, the projection first: (batch, map, height, width) each."""
        maps, side = self.net.stem[0] * self.net.width, self.net.stem[1]
        x = _with_label(z, labels, self.net.classes)
        if self.dense is not None:
            x = _with_label(self.dense(x), labels, self.net.classes)
        # The reshape is to channels last, which the convolutions after it work in.
        x = self.stem(x).view(len(z), maps, side, side).contiguous(memory_format=torch.channels_last)
        hidden = [x]
        for conv in self.convs:
            x = conv(_with_label(x, labels, self.net.classes))
            hidden.append(x)
        return hidden


class Discriminator(nn.Module):
    """An image to the logit that it is real: strided convolutions, flattened into one logit.

    The paper found that global average pooling slowed convergence, so the last maps are flattened (sec. 3).
    """

    def __init__(self, net: Net, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.net, self.channels = net, channels
        self.convs = nn.ModuleList()
        maps = channels
        for index, (multiple, stride) in enumerate(net.discriminator):
            normed = net.batch_norm and index > 0  # no batch norm on D's input layer, sec. 3
            norm = BatchNorm(multiple * net.width, net.gain_and_shift, eps) if normed else None
            bias = not net.batch_norm
            layer = self._conv(maps + net.classes, multiple * net.width, stride, bias)
            self.convs.append(_Block(layer, norm, net.discriminator_activation))
            maps = multiple * net.width
        inputs = maps * net.feature_sides[-1] ** 2 + net.classes
        self.dense: _Block | None = None
        if net.dense:
            units = net.dense * net.width
            norm = BatchNorm(units, net.gain_and_shift, eps) if net.batch_norm else None
            self.dense = _Block(nn.Linear(inputs, units, bias=not net.batch_norm), norm, net.discriminator_activation)
            inputs = units + net.classes
        self.head = nn.Linear(inputs, 1, bias=not net.batch_norm)

    def _conv(self, inputs: int, outputs: int, stride: int, bias: bool) -> nn.Module:
        kernel = self.net.kernel
        if self.net.strided:
            return StridedConv(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=bias)
        plain = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        return plain if stride == 1 else nn.Sequential(plain, nn.MaxPool2d(stride))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits, (batch,), of images x, (batch, channel, height, width) scaled as the net's output."""
        h = _with_label(self.feature_maps(x, labels)[-1].flatten(1), labels, self.net.classes)
        if self.dense is not None:
            h = _with_label(self.dense(h), labels, self.net.classes)
        return self.head(h).squeeze(1)

    def feature_maps(self, x: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        """Maps of every convolution after its activation, (batch, map, height, width) each; what the probe pools."""
        maps = []
        for conv in self.convs:
            x = conv(_with_label(x, labels, self.net.classes))
            maps.append(x)
        return maps


def _with_label(x: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """x with its label beside every feature vector or pixel, one-hot; x itself if the net knows no labels.

    Raises:
        ValueError: labels are missing, or given to a net without.
    """
    if classes == 0:
        if labels is not None:
            raise ValueError("this net takes no labels; only mnist_conditional does")
        return x
    if labels is None:
        raise ValueError("this net is conditional: give the label of each image")
    one_hot = F.one_hot(labels, classes).to(x.dtype)
    if x.dim() == 4:
        one_hot = one_hot[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, one_hot], dim=1)


@torch.no_grad()
def initialise(net: nn.Module, rng: torch.Generator) -> None:
    """Weights from N(0, 0.02); batch-norm gains from N(1, 0.02), shifts zero (the gains as in the released code)."""
    for module in net.modules():
        if isinstance(module, BatchNorm):
            if module.weight is not None:
                module.weight.normal_(1.0, INIT_SD, generator=rng)
        elif isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            module.weight.normal_(0.0, INIT_SD, generator=rng)
            if module.bias is not None:
                module.bias.zero_()


def build_generator(name: str, channels: int, eps: float = 1e-5) -> Generator:
    """The generator of a net's name, channels last, weights as torch left them (`initialise` or load them)."""
    return Generator(net_named(name), channels, eps).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def build_discriminator(name: str, channels: int, eps: float = 1e-5) -> Discriminator:
    """The discriminator of a net's name, channels last, weights as torch left them (`initialise` or load them)."""
    return Discriminator(net_named(name), channels, eps).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_part(net: nn.Module, tensors: Mapping[str, Tensor], part: str) -> None:
    """Fill a net from the tensors of a `model.safetensors` whose names begin with `part`, such as "discriminator.".

    Raises:
        ValueError: they are of another net; the message names the first difference.
    """
    own = {name.removeprefix(part): tensor for name, tensor in tensors.items() if name.startswith(part)}
    wanted = net.state_dict()
    for name, tensor in wanted.items():
        if name not in own:
            raise ValueError(f"the weights have no {part}{name}: they are of another net")
        if own[name].shape != tensor.shape:
            raise ValueError(
                f"{part}{name} is {tuple(own[name].shape)} in the weights and {tuple(tensor.shape)} in the net: they "
                "are of another net, width or number of channels"
            )
    unknown = sorted(set(own) - set(wanted))
    if unknown:
        raise ValueError(f"the weights hold {part}{unknown[0]}, which this net has not: they are of another net")
    net.load_state_dict(own)


def scaled(grey: Tensor, output: str) -> Tensor:
    """Grey levels 0..255 in the range of a net's `output`: [-1, 1] for tanh, [0, 1] for sigmoid. float32."""
    return grey.float() / 127.5 - 1 if output == "tanh" else grey.float() / 255


def grey_levels(x: Tensor, output: str) -> Tensor:
    """The nearest grey levels, uint8, of images in the range of a net's `output`."""
    return ((x + 1) * 127.5 if output == "tanh" else x * 255).round().clamp(0, 255).to(torch.uint8)
