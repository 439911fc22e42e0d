"""Strided convolutions as matrix products, where that is faster on a CPU.

A convolution is a product of the weights and the patches of its input; in channels-last order a patch's row is one
piece of memory, so that copying the patches out is cheap and the product runs at nearly full rate. oneDNN, torch's own
way, is faster for most layers. It is slower in two cases (k = 3 to 5, sides 4 to 32, batches 32 to 128, one core):

- the weight gradient runs at a third to two thirds of the rate of its forward pass where maps are many;
- a layer whose weights fill the cache, read for few places, runs at half the product's rate or less: the widest layers
  of the paper's nets, between 8 x 8 and 4 x 4.

A fractionally-strided convolution is the transpose: the product gives each place its patch, and patches are summed.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEWEST_MAPS = 64  # on either side: from here on the weight gradient is faster as a product
MANY_WEIGHTS = 2**21  # 8 MiB: from here on the other passes are faster, too, if the small side has
FEW_PLACES = 16  # or fewer places
PATCHED_IMAGES = 32  # at a time: their patches are a few tens of MB


def strided(large: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """small = conv2d(large, weight).

    Args:
        large: (batch, a, height, width).
        weight: (b, a, kernel, kernel).

    Returns:
        (batch, b, rows, columns).
    """
    outputs, _, kernel, _ = weight.shape
    rows, columns = ((side + 2 * padding - kernel) // stride + 1 for side in large.shape[2:])
    if not _few_places(weight, rows * columns):
        return F.conv2d(large, weight, None, stride, padding)
    by_patch = _by_patch(weight).T
    small = [_patches(x, rows, columns, kernel, stride, padding) @ by_patch for x in large.split(PATCHED_IMAGES)]
    return torch.cat(small).view(len(large), rows, columns, outputs).permute(0, 3, 1, 2)


def fractionally_strided(small: Tensor, weight: Tensor, stride: int, padding: int, extra: int) -> Tensor:
    """large = conv_transpose2d(small, weight): the transpose of `strided`.

    Args:
        small: (batch, b, rows, columns).
        weight: (b, a, kernel, kernel).
        extra: rows and columns of `large` past those that the last place reaches.

    Returns:
        (batch, a, height, width).
    """
    _, outputs, rows, columns = small.shape
    _, maps, kernel, _ = weight.shape
    if not _few_places(weight, rows * columns):
        return F.conv_transpose2d(small, weight, None, stride, padding, extra)
    by_patch = _by_patch(weight)
    height, width = (stride * (side - 1) + kernel + extra for side in (rows, columns))
    large = small.new_zeros(len(small), height, width, maps)
    for x, out in zip(small.split(PATCHED_IMAGES), large.split(PATCHED_IMAGES), strict=True):
        patches = x.permute(0, 2, 3, 1).reshape(-1, outputs) @ by_patch
        patches = patches.view(len(x), rows, columns, kernel, kernel, maps)
        for i in range(kernel):
            for j in range(kernel):
                out[:, i : i + stride * rows : stride, j : j + stride * columns : stride] += patches[:, :, :, i, j]
    large = large[:, padding : height - padding, padding : width - padding].permute(0, 3, 1, 2)
    return large.contiguous(memory_format=torch.channels_last)


def weight_gradient(large: Tensor, small: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """dL/dw of small = conv2d(large, w): sum over images and places of small times the patch of large behind it.

    Args:
        large: (batch, a, height, width), the convolution's input.
        small: (batch, b, rows, columns), the gradient of its output.

    Returns:
        (b, a, kernel, kernel).
    """
    (maps, outputs), (rows, columns) = (large.shape[1], small.shape[1]), small.shape[2:]
    gradient = large.new_zeros(outputs, kernel * kernel * maps)
    for x, answers in zip(large.split(PATCHED_IMAGES), small.split(PATCHED_IMAGES), strict=True):
        patches = _patches(x, rows, columns, kernel, stride, padding)
        gradient.addmm_(answers.permute(0, 2, 3, 1).reshape(-1, outputs).T, patches)
    return gradient.view(outputs, kernel, kernel, maps).permute(0, 3, 1, 2)


def _few_places(weight: Tensor, places: int) -> bool:
    return weight.numel() >= MANY_WEIGHTS and places <= FEW_PLACES


def _by_patch(weight: Tensor) -> Tensor:
    """(b, kernel * kernel * a), in the order of a patch."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _patches(x: Tensor, rows: int, columns: int, kernel: int, stride: int, padding: int) -> Tensor:
    """What each output place sees: (batch * rows * columns, kernel * kernel * maps)."""
    # Output place p needs input places stride * p + t - padding, for t in 0..kernel - 1: pad just that far.
    after = [
        stride * (places - 1) + kernel - padding - side
        for places, side in zip((rows, columns), x.shape[2:], strict=True)
    ]
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, after[1], padding, after[0]))
    of_image, of_row, of_pixel, _ = x.stride()
    maps = x.shape[3]
    seen = x.as_strided(
        (len(x), rows, columns, kernel, kernel * maps), (of_image, stride * of_row, stride * of_pixel, of_row, 1)
    )
    return seen.reshape(-1, kernel * kernel * maps)


def _is_asked_for(node: Any) -> bool:
    """Whether the pass under way wants this leaf's gradient.

    needs_input_grad only says that the leaf is a parameter; but G's step, say, asks nothing of D's weights.
    """
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:  # torch refuses to say so of a leaf that autograd.grad was asked for by name
        return True


class _Strided(torch.autograd.Function):
    """conv2d, or its transpose, of square maps, every pass by the faster way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int, extra: int, transposed: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.shape = stride, padding, transposed
        if transposed:
            return fractionally_strided(x, weight, stride, padding, extra)
        return strided(x, weight, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        stride, padding, transposed = ctx.shape
        large, small = (gradient, x) if transposed else (x, gradient)
        kernel = weight.shape[2]
        of_x = of_weight = None
        if ctx.needs_input_grad[0] and transposed:
            of_x = strided(large, weight, stride, padding)
        elif ctx.needs_input_grad[0]:
            reached = stride * (small.shape[2] - 1) + kernel - 2 * padding
            of_x = fractionally_strided(small, weight, stride, padding, large.shape[2] - reached)
        if ctx.needs_input_grad[1] and _is_asked_for(ctx.next_functions[1][0]):
            of_weight = weight_gradient(large, small, kernel, stride, padding)
        return of_x, of_weight, None, None, None, None


def _product_is_faster(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> bool:
    fewest = min(layer.in_channels, layer.out_channels)
    return x.device.type == "cpu" and x.dtype == torch.float32 and layer.bias is None and fewest >= FEWEST_MAPS


class StridedConv(nn.Conv2d):
    """nn.Conv2d with products where they are faster."""

    def forward(self, x: Tensor) -> Tensor:
        """As nn.Conv2d."""
        if not _product_is_faster(self, x):
            return super().forward(x)
        return _Strided.apply(x, self.weight, self.stride[0], int(self.padding[0]), 0, False)


class FractionallyStridedConv(nn.ConvTranspose2d):
    """nn.ConvTranspose2d with products where they are faster."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """As nn.ConvTranspose2d."""
        if not _product_is_faster(self, x):
            return super().forward(x, output_size)
        padding, extra = int(self.padding[0]), int(self.output_padding[0])
        return _Strided.apply(x, self.weight, self.stride[0], padding, extra, True)
