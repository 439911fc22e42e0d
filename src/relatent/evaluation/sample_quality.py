"""How good samples are, without downloaded networks: every measure with the same one between real images beside it.

Features are those of a fixed, randomly initialised convolutional net (never the judged discriminator, which was
trained on these samples); so a KID here is comparable between our own cells only, and is never called FID.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

FEATURE_WIDTHS = (64, 128, 256)
FEATURE_SEED = 20151119  # of the fixed net; the day the DCGAN paper appeared
KID_BLOCKS = 10
NEIGHBOURS = 3  # of precision and recall: Kynkäänniemi et al. 2019, sec. 3
SSIM_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli, Bovik 2003


class FixedFeatures:
    """Means and spreads of the maps of a random convolutional net, standardised on reference images.

    Args:
        reference: (n, channel, height, width) in [-1, 1], real images whose moments every layer is standardised by.
    """

    def __init__(self, reference: Tensor) -> None:
        rng = torch.Generator().manual_seed(FEATURE_SEED)
        self.layers: list[tuple[Tensor, Tensor, Tensor]] = []
        maps, inputs = reference, reference.shape[1]
        for width in FEATURE_WIDTHS:
            weight = torch.randn(width, inputs, 5, 5, generator=rng) * math.sqrt(2 / (inputs * 25))
            before = self._convolved(maps, weight)
            mean, sd = before.mean((0, 2, 3)), before.std((0, 2, 3)).clamp_min(1e-6)
            self.layers.append((weight, mean, sd))
            maps, inputs = self._answer(before, mean, sd), width
        raw = self._raw(reference)
        self.mean, self.sd = raw.mean(0), raw.std(0).clamp_min(1e-6)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """(n, 2 * sum of widths) features of images x, (n, channel, height, width) in [-1, 1]."""
        return (self._raw(x) - self.mean) / self.sd

    def _raw(self, x: Tensor) -> Tensor:
        return torch.cat([self._of(part) for part in x.split(256)])

    def _of(self, x: Tensor) -> Tensor:
        summaries = []
        for weight, mean, sd in self.layers:
            x = self._answer(self._convolved(x, weight), mean, sd)
            summaries += [x.mean((2, 3)), x.std((2, 3))]
        return torch.cat(summaries, 1)

    @staticmethod
    def _convolved(x: Tensor, weight: Tensor) -> Tensor:
        return torch.cat([F.conv2d(part, weight, stride=2, padding=2) for part in x.split(256)])

    @staticmethod
    def _answer(before: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
        return F.relu((before - mean[:, None, None]) / sd[:, None, None])


def kid(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Kernel distance between two sets of features: unbiased MMD² with the cubic kernel (Binkowski et al. 2018).

    Args:
        a, b: (n, d) and (m, d); m may differ from n.

    Returns:
        its mean over disjoint blocks, and the standard error of that mean.
    """
    blocks = min(KID_BLOCKS, len(a) // 20, len(b) // 20)
    if blocks < 2:
        raise ValueError(f"{min(len(a), len(b))} images are too few for a KID with a standard error; 40 at least")
    values = torch.tensor([_mmd2(p, q) for p, q in zip(a.chunk(blocks), b.chunk(blocks), strict=True)])
    return values.mean().item(), (values.std() / math.sqrt(blocks)).item()


def _mmd2(a: Tensor, b: Tensor) -> float:
    a, b = a.double(), b.double()

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        return (p @ q.T / p.shape[1] + 1) ** 3

    def off_diagonal_mean(k: Tensor) -> Tensor:
        return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))

    return (off_diagonal_mean(kernel(a, a)) + off_diagonal_mean(kernel(b, b)) - 2 * kernel(a, b).mean()).item()


def precision_recall(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """Share of fakes inside the real manifold, and of reals inside the fakes' (Kynkäänniemi et al. 2019).

    A manifold is the union of balls around its points that reach to the 3rd nearest other point. Equal n is needed,
    because the balls shrink with n.

    Args:
        real, fake: (n, d) features.

    Raises:
        ValueError: different n.
    """
    if len(real) != len(fake):
        raise ValueError(f"precision and recall need equally many images, not {len(real)} and {len(fake)}")
    real, fake = real.double(), fake.double()  # the squares of near-equal features cancel in float32
    between = torch.cdist(real, fake)

    def radii(points: Tensor) -> Tensor:
        # The nearest is the point itself.
        return torch.cdist(points, points).kthvalue(NEIGHBOURS + 1, dim=1).values

    precision = (between <= radii(real)[:, None]).any(0).float().mean().item()
    recall = (between <= radii(fake)[None, :]).any(1).float().mean().item()
    return precision, recall


def nearest_distance(queries: Tensor, images: Tensor) -> Tensor:
    """Root mean square distance per pixel from each query to the nearest of the images; (n,)."""
    queries, images = queries.flatten(1).double(), images.flatten(1).double()
    nearest = [torch.cdist(part, images).min(1).values for part in queries.split(512)]
    return torch.cat(nearest) / math.sqrt(images.shape[1])


def two_sample_accuracy(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """Leave-one-out accuracy of 1-NN at telling real from fake (Lopez-Paz, Oquab 2017): 0.5 is perfect samples.

    Args:
        real, fake: (n, ...), equally many.

    Returns:
        the accuracy, and its standard error as if the tests were independent.

    Raises:
        ValueError: different n.
    """
    if len(real) != len(fake):
        raise ValueError(f"the two-sample test needs equally many images, not {len(real)} and {len(fake)}")
    points = torch.cat([real.flatten(1), fake.flatten(1)]).double()
    is_fake = torch.arange(len(points)) >= len(real)
    distances = torch.cdist(points, points).fill_diagonal_(math.inf)
    accuracy = (is_fake[distances.argmin(1)] == is_fake).double().mean().item()
    return accuracy, math.sqrt(accuracy * (1 - accuracy) / len(points))


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale structural similarity of image pairs (Wang, Simoncelli, Bovik 2003); (n,), 1 for equal images.

    As many of the five scales as leave 8 pixels, their weights rescaled to sum to one; a 7-pixel Gaussian window.

    Args:
        a, b: (n, channel, height, width) in [0, 1].
    """
    scales = max(1, min(5, int(math.log2(a.shape[-1] / 8)) + 1))
    weights = [weight / sum(SSIM_SCALES[:scales]) for weight in SSIM_SCALES[:scales]]
    result = torch.ones(len(a))
    for scale, weight in enumerate(weights):
        luminance, contrast = _ssim_terms(a, b)
        term = luminance * contrast if scale == scales - 1 else contrast
        result = result * term.mean((1, 2, 3)).clamp_min(0) ** weight
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return result


def _ssim_terms(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    channels = a.shape[1]
    offsets = torch.arange(7.0) - 3
    line = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = (line[:, None] * line / line.sum() ** 2).expand(channels, 1, 7, 7)

    def smooth(x: Tensor) -> Tensor:
        return F.conv2d(x, window, groups=channels)

    mean_a, mean_b = smooth(a), smooth(b)
    var_a, var_b = smooth(a * a) - mean_a**2, smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * covariance + c2) / (var_a + var_b + c2)


def sliced_wasserstein(a: Tensor, b: Tensor, rng: torch.Generator, projections: int = 256) -> list[float]:
    """Sliced Wasserstein distance between 7 x 7 patches at each level of a Laplacian pyramid (Karras et al. 2018).

    Args:
        a, b: (n, channel, height, width), equally many.
        rng: places of the patches and directions of the slices.

    Returns:
        one distance per level, finest first, times 1000 as is customary.
    """
    distances = []
    for level_a, level_b in zip(_pyramid(a), _pyramid(b), strict=True):
        p, q = _patches(level_a, rng), _patches(level_b, rng)
        directions = F.normalize(torch.randn(p.shape[1], projections, generator=rng), dim=0)
        sorted_p, sorted_q = (p @ directions).sort(0).values, (q @ directions).sort(0).values
        distances.append((sorted_p - sorted_q).abs().mean().item() * 1000)
    return distances


def _pyramid(x: Tensor) -> list[Tensor]:
    levels = []
    while x.shape[-1] >= 28:
        smaller = F.avg_pool2d(x, 2)
        levels.append(x - F.interpolate(smaller, size=x.shape[-2:], mode="bilinear", align_corners=False))
        x = smaller
    return [*levels, x]


def _patches(x: Tensor, rng: torch.Generator, per_image: int = 32) -> Tensor:
    """(n * per_image, channel * 49), each channel standardised over all patches."""
    n, channels, height, width = x.shape
    tops = torch.randint(0, height - 6, (n * per_image,), generator=rng)
    lefts = torch.randint(0, width - 6, (n * per_image,), generator=rng)
    images = torch.arange(n).repeat_interleave(per_image)
    rows = (tops[:, None] + torch.arange(7))[:, None, :, None]
    columns = (lefts[:, None] + torch.arange(7))[:, None, None, :]
    patches = x[images[:, None, None, None], torch.arange(channels)[None, :, None, None], rows, columns]
    mean, sd = patches.mean((0, 2, 3), keepdim=True), patches.std((0, 2, 3), keepdim=True).clamp_min(1e-6)
    return ((patches - mean) / sd).flatten(1)
