"""Strided convolutions whose weight gradient is computed the fast way on a CPU.

Where maps are only a few pixels wide, oneDNN's weight gradient runs at a third of the rate of its forward pass. The
same sum is a forward convolution with batch and channels exchanged and the stride as dilation, and runs at full rate.
Elsewhere torch's own gradient is taken.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALL_SIDE = 4  # of the smaller maps, up to which the exchanged form was faster (benchmarks/dcgan_step.py)
SMALL_MAPS = 256  # and the fewest maps for which it was


def weight_gradient(large: Tensor, small: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """dL/dw of small = conv2d(large, w): sum over images and places of small times the patch of large behind it.

    Args:
        large: (batch, a, height, width), the convolution's input.
        small: (batch, b, height // stride, width // stride), the gradient of its output.

    Returns:
        (b, a, kernel, kernel).
    """
    # Output place p needs input places stride * p + t - padding, for t in 0..kernel - 1: pad just that far.
    after = stride * (small.shape[2] - 1) + kernel - padding - large.shape[2]
    exchanged = F.pad(large.transpose(0, 1), (padding, after, padding, after))
    exchanged = exchanged.contiguous(memory_format=torch.channels_last)
    kernels = small.transpose(0, 1).contiguous(memory_format=torch.channels_last)
    return F.conv2d(exchanged, kernels, dilation=stride).transpose(0, 1)


def _exchanged_is_faster(small: Tensor, maps: int) -> bool:
    return (
        small.device.type == "cpu"
        and small.dtype == torch.float32
        and small.shape[2] <= SMALL_SIDE
        and min(maps, small.shape[1]) >= SMALL_MAPS
    )


class _Strided(torch.autograd.Function):
    """conv2d, or its transpose, with the weight gradient in the exchanged form."""

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
        if ctx.needs_input_grad[1]:
            large, small = (gradient, x) if transposed else (x, gradient)
            of_weight = weight_gradient(large, small, weight.shape[2], stride, padding)
        return of_x, of_weight, None, None, None, None


class StridedConv(nn.Conv2d):
    """nn.Conv2d with the faster weight gradient where there is one."""

    def forward(self, x: Tensor) -> Tensor:
        """As nn.Conv2d."""
        stride, padding = self.stride[0], int(self.padding[0])
        small_side = (x.shape[2] + 2 * padding - self.kernel_size[0]) // stride + 1
        probe = x[:, :, :small_side]
        if self.bias is not None or not _exchanged_is_faster(probe, self.out_channels):
            return super().forward(x)
        return _Strided.apply(x, self.weight, stride, padding, 0, False)


class FractionallyStridedConv(nn.ConvTranspose2d):
    """nn.ConvTranspose2d with the faster weight gradient where there is one."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """As nn.ConvTranspose2d."""
        if self.bias is not None or not _exchanged_is_faster(x, self.out_channels):
            return super().forward(x, output_size)
        padding, extra = int(self.padding[0]), int(self.output_padding[0])
        return _Strided.apply(x, self.weight, self.stride[0], padding, extra, True)
