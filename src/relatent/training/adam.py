"""Adam over one flat buffer, in the two forms of the presets. It climbs: gradients are those of the bound.

Gradients are summed over the images of a batch and averaged over samples, so that the paper's epsilon of 1e-4 means
what it meant in the released code (specs/iwae.md, section 0, item 1); with a mean over 20 images it would be 5e-6.
"""

from typing import Literal

import torch
from torch import Tensor, nn

EPSILON = 1e-4  # Burda et al. 2016, sec. 5


class FlatParameters:
    """A model's parameters and their gradients as views of two flat buffers, so that one call updates them all.

    Args:
        model: its parameters become views of `values`, in the order of `named_parameters`.
    """

    def __init__(self, model: nn.Module) -> None:
        named = list(model.named_parameters())
        self.values = torch.cat([value.detach().reshape(-1) for _, value in named])
        self.gradients = torch.zeros_like(self.values)
        self.views: dict[str, Tensor] = {}
        self.gradient_views: dict[str, Tensor] = {}
        start = 0
        for name, parameter in named:
            place = slice(start, start + parameter.numel())
            self.views[name] = self.values[place].view(parameter.shape)
            self.gradient_views[name] = self.gradients[place].view(parameter.shape)
            parameter.data = self.views[name]
            parameter.grad = self.gradient_views[name]
            start = place.stop


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
        self.steps = 0
        self.first_moment = torch.zeros_like(values)
        self.second_moment = torch.zeros_like(values) if form == "corrected" else torch.ones_like(values)

    def step(self, learning_rate: float) -> None:
        """One update at this rate."""
        self.steps += 1
        (self._corrected if self.form == "corrected" else self._released)(learning_rate)

    def _corrected(self, learning_rate: float) -> None:
        torch._fused_adam_(  # what torch.optim.Adam(fused=True) calls, without its bookkeeping per step
            [self.values],
            [self.gradients],
            [self.first_moment],
            [self.second_moment],
            [],
            [torch.tensor(float(self.steps))],
            lr=learning_rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=True,
        )

    def _released(self, learning_rate: float) -> None:
        """yburda/iwae: its Theano updates all read old values, so the first one moves nothing."""
        beta1, beta2 = self.betas
        rate = learning_rate * (1 - beta2**self.steps) ** 0.5 / (1 - beta1**self.steps)
        self.values.addcdiv_(self.first_moment, self.second_moment.sqrt().add_(EPSILON), value=rate)
        self.first_moment.lerp_(self.gradients, 1 - beta1)
        self.second_moment.mul_(beta2).addcmul_(self.gradients, self.gradients, value=1 - beta2)
