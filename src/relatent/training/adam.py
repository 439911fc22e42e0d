"""Adam over one flat buffer, in the two forms of the presets. It climbs: gradients are those of the bound.

Gradients are summed over the images of a batch and averaged over samples, so that the paper's epsilon of 1e-4 means
what it meant in the released code (specs/iwae.md, section 0, item 1); with a mean over 20 images it would be 5e-6.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

EPSILON = 1e-4  # Burda et al. 2016, sec. 5


class FlatParameters:
    """Parameters and their gradients as views of two flat buffers, so that one call updates them all.

    Args:
        parameters: by name; their values are copied.

    `values` and `gradients` are (n,), `views` and `gradient_views` have the parameters' shapes. Given stacked
    parameters, (seeds, ...), and `stacked`, they are (seeds, n) and (seeds, ...).
    """

    def __init__(self, parameters: Mapping[str, Tensor], stacked: bool = False) -> None:
        first = 1 if stacked else 0
        self.values = torch.cat([value.detach().flatten(first) for value in parameters.values()], dim=-1)
        self.gradients = torch.zeros_like(self.values)
        self.views: dict[str, Tensor] = {}
        self.gradient_views: dict[str, Tensor] = {}
        start = 0
        for name, value in parameters.items():
            place = slice(start, start + math.prod(value.shape[first:]))
            self.views[name] = self.values[..., place].view(value.shape)
            self.gradient_views[name] = self.gradients[..., place].view(value.shape)
            start = place.stop

    @classmethod
    def of(cls, model: nn.Module) -> "FlatParameters":
        """Those of a model, which computes with the buffers from now on."""
        flat = cls(dict(model.named_parameters()))
        for name, parameter in model.named_parameters():
            parameter.data = flat.views[name]
            parameter.grad = flat.gradient_views[name]
        return flat


class Adam:
    """Adam of Kingma and Ba, climbing.

    Args:
        values, gradients: flat buffers of equal shape; `step` reads the second and changes the first.
        betas: decay of the two moments.
        form: "corrected" or "released", see `schedule.Preset`.
    """

    def __init__(
        self, values: Tensor, gradients: Tensor, betas: tuple[float, float], form: Literal["corrected", "released"]
    ) -> None:
        self.values, self.gradients, self.betas, self.form = values, gradients, betas, form
        self.count = torch.zeros((), device=values.device)  # of steps; exact in float32 up to 16.7 million
        self.first_moment = torch.zeros_like(values)
        self.second_moment = torch.zeros_like(values) if form == "corrected" else torch.ones_like(values)

    def step(self, learning_rate: float | Tensor) -> None:
        """One update at this rate; a tensor where the step is captured in a CUDA graph."""
        self.count.add_(1)
        (self._corrected if self.form == "corrected" else self._released)(learning_rate)

    def _corrected(self, learning_rate: float | Tensor) -> None:
        torch._fused_adam_(  # what torch.optim.Adam(fused=True) calls, without its bookkeeping per step
            [self.values],
            [self.gradients],
            [self.first_moment],
            [self.second_moment],
            [],
            [self.count],
            lr=learning_rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=True,
        )

    def _released(self, learning_rate: float | Tensor) -> None:
        """yburda/iwae: its Theano updates all read old values, so the first one moves nothing."""
        beta1, beta2 = self.betas
        count = self.count.double()
        rate = learning_rate * (1 - beta2**count).sqrt() / (1 - beta1**count)
        self.values.addcdiv_(self.first_moment * rate.to(self.values.dtype), self.second_moment.sqrt().add_(EPSILON))
        self.first_moment.lerp_(self.gradients, 1 - beta1)
        self.second_moment.mul_(beta2).addcmul_(self.gradients, self.gradients, value=1 - beta2)
