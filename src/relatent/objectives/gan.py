"""The two losses of a GAN, from logits (Goodfellow et al. 2014, sec. 3; used by Radford et al. 2016)."""

from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Cross entropy of telling real from fake, summed over the two, averaged over images; nats.

    A discriminator that answers 1/2 everywhere costs 2 log 2. Sum and not mean of the two terms, as in the released
    code; softplus, because sigmoid-then-log loses a confident discriminator's digits.

    Args:
        real_logits, fake_logits: (batch,).
    """
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Cross entropy of the fakes against "real", averaged over images; nats. Non-saturating: Goodfellow et al. 2014.

    Its gradient does not vanish where the discriminator is sure, as that of log(1 - D) does.
    """
    return F.softplus(-fake_logits).mean()
