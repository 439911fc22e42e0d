"""Strided convolutions whose weight gradient is computed the fast way on a CPU.

oneDNN's weight gradient runs at a third to two thirds of the rate of its forward pass where maps are many and small.
The same sum is a matrix product of the output's gradient and the patches of the input behind it, which runs at nearly
full rate; in channels-last order a patch's row is one piece of memory, so that copying the patches out is cheap.
Where maps are few the product is narrow and torch's own gradient is taken.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEWEST_MAPS = 64  # on either side, from which the product was faster (k = 4 and 5, sides 4 to 32, batch 128)
PATCHED_IMAGES = 32  # at a time: their patches are a few tens of MB


def weight_gradient(large: Tensor, small: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """dL/dw of small = conv2d(large, w): sum over images and places of small times the patch of large behind it.

    Args:
        large: (batch, a, height, width), the convolution's input.
        small: (batch, b, height // stride, width // stride), the gradient of its output.

    Returns:
        (b, a, kernel, kernel).
    """
    (maps, outputs), (rows, columns) = (large.shape[1], small.shape[1]), small.shape[2:]
    # Output place p needs input places stride * p + t - padding, for t in 0..kernel - 1: pad just that far.
    after = stride * (rows - 1) + kernel - padding - large.shape[2]
    gradient = large.new_zeros(outputs, kernel * kernel * maps)
    for images, answers in zip(large.split(PATCHED_IMAGES), small.split(PATCHED_IMAGES), strict=True):
        x = F.pad(images.permute(0, 2, 3, 1), (0, 0, padding, after, padding, after))
        of_image, of_row, of_pixel, _ = x.stride()
        patches = x.as_strided(
            (len(x), rows, columns, kernel, kernel * maps), (of_image, stride * of_row, stride * of_pixel, of_row, 1)
        )
        gradient.addmm_(answers.permute(0, 2, 3, 1).reshape(-1, outputs).T, patches.reshape(-1, kernel * kernel * maps))
    return gradient.view(outputs, kernel, kernel, maps).permute(0, 3, 1, 2)


def _is_asked_for(node: Any) -> bool:
    """Whether the pass under way wants this leaf's gradient.

    needs_input_grad only says that the leaf is a parameter; but G's step, say, asks nothing of D's weights.
    """
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:  # torch refuses to say so of a leaf that autograd.grad was asked for by name
        return True


class _Strided(torch.autograd.Function):
    """conv2d, or its transpose, with the weight gradient as a product with patches."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int, extra: int, transposed: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.shape = stride, padding, extra, transposed
        if transposed:
            return F.conv_transpose2d(x, weight, None, stride, padding, extra)
        return F.conv2d(x, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        stride, padding, extra, transposed = ctx.shape
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], transposed, [extra] * 2, 1,
                [True, False, False],
            )[0]  # fmt: skip
        if ctx.needs_input_grad[1] and _is_asked_for(ctx.next_functions[1][0]):
            large, small = (gradient, x) if transposed else (x, gradient)
            of_weight = weight_gradient(large, small, weight.shape[2], stride, padding)
        return of_x, of_weight, None, None, None, None


def _product_is_faster(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> bool:
    fewest = min(layer.in_channels, layer.out_channels)
    return x.device.type == "cpu" and x.dtype == torch.float32 and layer.bias is None and fewest >= FEWEST_MAPS


class StridedConv(nn.Conv2d):
    """nn.Conv2d with the faster weight gradient where there is one."""

    def forward(self, x: Tensor) -> Tensor:
        """As nn.Conv2d."""
        if not _product_is_faster(self, x):
            return super().forward(x)
        return _Strided.apply(x, self.weight, self.stride[0], int(self.padding[0]), 0, False)


class FractionallyStridedConv(nn.ConvTranspose2d):
    """nn.ConvTranspose2d with the faster weight gradient where there is one."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """As nn.ConvTranspose2d."""
        if not _product_is_faster(self, x):
            return super().forward(x, output_size)
        padding, extra = int(self.padding[0]), int(self.output_padding[0])
        return _Strided.apply(x, self.weight, self.stride[0], padding, extra, True)
