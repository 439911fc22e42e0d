"""The fast path of training: log weights, and the gradient of their weighted sum, written out by hand.

At 20 images and one sample a training step is 18 small products, and autograd's bookkeeping costs more than they do;
at 50 samples it is the passes over the logits that count. Here every product is done once, straight into its place in
the gradient, and each logit is visited as few times as possible. Nothing is written that torch.vmap cannot lift over
seeds. The numbers are those of autograd on `DensityModel` (tests/models/test_density_gradient.py).
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from relatent.models.densities import group_size

Tensors = Mapping[str, Tensor]

_tanh_backward = torch.ops.aten.tanh_backward  # d (1 - h^2), in one pass


class WeightedGradient(NamedTuple):
    """log_w, (k, batch), and the derivative of the sum of coefficient * log_w by each parameter."""

    log_w: Tensor
    gradient: Mapping[str, Tensor]


def weighted_gradient(
    parameters: Tensors,
    x: Tensor,
    noise: Sequence[Tensor],
    coefficients_of: Callable[[Tensor], Tensor],
    into: Tensors | None = None,
) -> WeightedGradient:
    """log w of each draw, and the gradient of the sum over draws of coefficient * log w, coefficients held constant.

    With the normalised weights as coefficients this is eq. 14 of Burda et al. 2016, the gradient of L_k; with 1/k that
    of the k-sample ELBO. Both are total derivatives, through the draws and through log q.

    Args:
        parameters: of a `DensityModel`, by name.
        x: (batch, pixels) in {0, 1}.
        noise: standard normals, from z1 up, each (k, batch, latent_i); as many as there are stochastic layers.
        coefficients_of: log_w, (k, batch), to the coefficients, (k, batch).
        into: where to write the gradient, by parameter name; new tensors if left out.
    """
    net = _Nets(parameters, {} if into is None else into)
    images, k = x.shape[0], noise[0].shape[0]
    top = len(noise) - 1
    rows = [part.reshape(k * images, -1) for part in noise]

    # Forward. log N(z; mean, sd) of a draw is that of its noise less log sd, and the constants of q and p cancel.
    q1 = net.gaussian_forward("q_z1_given_x", x)
    z1 = torch.addcmul(q1.mean, q1.sd, noise[0]).view(k * images, -1)
    log_w = (noise[0].square().sum(-1) * 0.5).add_(q1.log_sd.sum(-1))
    if top:
        q2 = net.gaussian_forward("q_z2_given_z1", z1)
        z2 = torch.addcmul(q2.mean, q2.sd, rows[1])
        p1 = net.gaussian_forward("p_z1_given_z2", z2)
        deviation = (z1 - p1.mean) / p1.sd
        log_p1 = (rows[1].square() - z2.square()).sum(-1) * 0.5 + q2.log_sd.sum(-1)
        log_p1 -= deviation.square().sum(-1) * 0.5 + p1.log_sd.sum(-1)
        log_w += log_p1.view(k, images)
    else:
        log_w -= z1.square().sum(-1).view(k, images) * 0.5
    px = net.bernoulli_forward("p_x_given_z1", x, z1)
    log_w += px.log_density

    # Backward, from the pixels down to the encoder.
    coefficients = coefficients_of(log_w)
    row_coefficients = coefficients.reshape(-1, 1)
    d_z1 = net.bernoulli_backward("p_x_given_z1", px, x, z1, coefficients)
    if top:
        pull = deviation / p1.sd * row_coefficients
        d_log_sd = (deviation.square() - 1) * row_coefficients
        d_z2 = net.gaussian_backward("p_z1_given_z2", p1, z2, pull, d_log_sd)
        d_z2 -= row_coefficients * z2
        d_log_sd = torch.addcmul(row_coefficients, d_z2 * rows[1], q2.sd)
        d_z1 += net.gaussian_backward("q_z2_given_z1", q2, z1, d_z2, d_log_sd)
        d_z1 -= pull
    else:
        d_z1 -= row_coefficients * z1
    d_z1 = d_z1.view(k, images, -1)
    d_log_sd = (d_z1 * noise[0]).sum(0) * q1.sd + coefficients.sum(0).unsqueeze(-1)
    net.gaussian_backward("q_z1_given_x", q1, x, d_z1.sum(0), d_log_sd, inputs_too=False)
    return WeightedGradient(log_w, net.gradient)


class _GaussianPass(NamedTuple):
    hidden1: Tensor
    hidden2: Tensor
    mean: Tensor
    log_sd: Tensor
    sd: Tensor


class _BernoulliPass(NamedTuple):
    hidden1: Tensor
    hidden2: Tensor
    means: Tensor  # (rows, pixels), sigmoid of the logits
    log_density: Tensor  # (k, batch)


class _Nets:
    """The tanh nets by name: forward passes that keep what backward needs, and backward passes that fill `gradient`."""

    def __init__(self, parameters: Tensors, into: Tensors) -> None:
        self.parameters, self.into = parameters, into
        self.gradient: MutableMapping[str, Tensor] = {}

    def gaussian_forward(self, name: str, inputs: Tensor) -> _GaussianPass:
        hidden1 = self._tanh(f"{name}.hidden1", inputs)
        hidden2 = self._tanh(f"{name}.hidden2", hidden1)
        log_sd = self._linear(f"{name}.log_sd", hidden2)
        return _GaussianPass(hidden1, hidden2, self._linear(f"{name}.mean", hidden2), log_sd, log_sd.exp())

    def gaussian_backward(
        self, name: str, kept: _GaussianPass, inputs: Tensor, d_mean: Tensor, d_log_sd: Tensor, inputs_too: bool = True
    ) -> Tensor:
        """Derivative by the inputs; without `inputs_too` an empty tensor, since no gradient to x is needed."""
        d_hidden2 = self._linear_backward(f"{name}.mean", d_mean, kept.hidden2)
        d_hidden2 += self._linear_backward(f"{name}.log_sd", d_log_sd, kept.hidden2)
        return self._hidden_backward(name, kept.hidden1, kept.hidden2, inputs, d_hidden2, inputs_too)

    def bernoulli_forward(self, name: str, x: Tensor, z1: Tensor) -> _BernoulliPass:
        """x.l - softplus(l), with softplus(l) = max(l, 0) - log max(p, 1 - p) and p = sigmoid(l), as `softplus_sum`."""
        hidden1 = self._tanh(f"{name}.hidden1", z1)
        hidden2 = self._tanh(f"{name}.hidden2", hidden1)
        logits = self._linear(f"{name}.logits", hidden2)
        means = torch.sigmoid(logits)
        images, pixels = x.shape
        log_density = (x * logits.view(-1, images, pixels)).sum(-1)
        log_density -= logits.relu_().sum(-1).view(-1, images)
        factors = (means - 0.5).abs_().add_(0.5)  # max(p, 1 - p)
        products = factors.view(-1, pixels // group_size(pixels), group_size(pixels)).prod(-1)
        log_density += products.log_().sum(-1).view(-1, images)
        return _BernoulliPass(hidden1, hidden2, means, log_density)

    def bernoulli_backward(
        self, name: str, kept: _BernoulliPass, x: Tensor, z1: Tensor, coefficients: Tensor
    ) -> Tensor:
        means = kept.means.view(*coefficients.shape, -1)
        d_logits = means.sub_(x).mul_(-coefficients.unsqueeze(-1)).view(kept.means.shape)
        d_hidden2 = self._linear_backward(f"{name}.logits", d_logits, kept.hidden2)
        return self._hidden_backward(name, kept.hidden1, kept.hidden2, z1, d_hidden2)

    def _hidden_backward(
        self, name: str, hidden1: Tensor, hidden2: Tensor, inputs: Tensor, d_hidden2: Tensor, inputs_too: bool = True
    ) -> Tensor:
        d_hidden1 = self._linear_backward(f"{name}.hidden2", _tanh_backward(d_hidden2, hidden2), hidden1)
        return self._linear_backward(f"{name}.hidden1", _tanh_backward(d_hidden1, hidden1), inputs, inputs_too)

    def _linear(self, name: str, inputs: Tensor, scale: float = 1) -> Tensor:
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        return torch.addmm(bias, inputs, weight.t(), beta=scale, alpha=scale)

    def _tanh(self, name: str, inputs: Tensor) -> Tensor:
        """2 sigmoid(2a) - 1, as in `densities.tanh`; the doubling is left to the product."""
        return self._linear(name, inputs, scale=2).sigmoid_().mul_(2).sub_(1)

    def _linear_backward(self, name: str, d_outputs: Tensor, inputs: Tensor, inputs_too: bool = True) -> Tensor:
        weight, bias = f"{name}.weight", f"{name}.bias"
        self.gradient[weight] = torch.mm(d_outputs.t(), inputs, out=self.into.get(weight))
        self.gradient[bias] = torch.sum(d_outputs, 0, out=self.into.get(bias))
        return torch.mm(d_outputs, self.parameters[weight]) if inputs_too else d_outputs.new_empty(0)
