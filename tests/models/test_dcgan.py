"""The nets are the papers' nets: counts, and every architecture rule, read off the built modules."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from relatent.models import convolutions
from relatent.models.convolutions import (
    FEWEST_MAPS,
    PATCHED_IMAGES,
    FractionallyStridedConv,
    StridedConv,
    fractionally_strided,
    strided,
    weight_gradient,
)
from relatent.models.dcgan import (
    BatchNorm,
    build_discriminator,
    build_generator,
    estimate_statistics,
    initialise,
    load_part,
)
from relatent.models.dcgan_nets import ABLATIONS, NETS, net_named

UNCONDITIONAL = ["lsun64", "imagenet32", "svhn32"]


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def small(name: str) -> str:
    return f"{name}-w4"


def built(name: str, channels: int = 3):
    rng = torch.Generator().manual_seed(0)
    generator, discriminator = build_generator(name, channels), build_discriminator(name, channels)
    initialise(generator, rng)
    initialise(discriminator, rng)
    return generator, discriminator


@pytest.mark.parametrize(
    ("name", "generator_millions", "discriminator_millions"),
    [("lsun64", 18.9, 17.2), ("imagenet32", 6.7, 4.6), ("svhn32", 1.4, 1.0)],
)
def test_nets_have_the_papers_parameter_counts(name, generator_millions, discriminator_millions):
    """Figure 1's net and the released weights, counted (specs: 18.9 M and 17.2 M for the 64 x 64 net)."""
    assert round(parameters(build_generator(name, 3)) / 1e6, 1) == generator_millions
    assert round(parameters(build_discriminator(name, 3)) / 1e6, 1) == discriminator_millions


@pytest.mark.parametrize(("name", "units"), [("imagenet32", 28672), ("svhn32", 7168), ("lsun64", 30720)])
def test_feature_units_are_counted_from_the_maps(name, units):
    """28,672 features come from six 3 x 3 convolutions of 1,792 maps at 4 x 4 cells; 7,168 from the SVHN net."""
    assert net_named(name).feature_units == units


@pytest.mark.parametrize("name", UNCONDITIONAL)
def test_feature_maps_are_as_the_description_says(name):
    net = net_named(small(name))
    _, discriminator = built(small(name))
    maps = discriminator.feature_maps(torch.zeros(2, 3, net.side, net.side))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (multiple * net.width, side, side)
        for (multiple, _), side in zip(net.discriminator, net.feature_sides, strict=True)
    ]


@pytest.mark.parametrize("name", UNCONDITIONAL)
def test_resolution_changes_only_by_strided_convolutions(name):
    """Rule 1: no pooling and no upsampling layer; strides halve in D and double in G."""
    generator, discriminator = built(small(name))
    for net in (generator, discriminator):
        assert not [m for m in net.modules() if isinstance(m, (nn.MaxPool2d, nn.AvgPool2d, nn.Upsample))]
    down = [m.stride[0] for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    up = [m.stride[0] for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    net = net_named(name)
    assert net.side // torch.tensor(down).prod().item() == net.feature_sides[-1]
    assert net.stem[1] * torch.tensor(up).prod().item() == net.side
    assert not [m for m in generator.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize("name", list(NETS))
def test_batch_norm_is_everywhere_but_at_the_images(name):
    """Rule 2: batch norm in every layer except G's output and D's input (and D's logit)."""
    generator, discriminator = built(small(name), 1)
    assert generator.image.norm is None
    assert all(block.norm is not None for block in [generator.stem, *generator.convs])
    assert discriminator.convs[0].norm is None
    assert all(block.norm is not None for block in discriminator.convs[1:])


@pytest.mark.parametrize("name", UNCONDITIONAL)
def test_there_are_no_hidden_dense_layers(name):
    """Rule 3: G has one dense layer, which takes z; D has one, which gives the logit."""
    generator, discriminator = built(small(name))
    assert [m for m in generator.modules() if isinstance(m, nn.Linear)] == [generator.stem.layer]
    assert [m for m in discriminator.modules() if isinstance(m, nn.Linear)] == [discriminator.head]
    assert discriminator.head.out_features == 1


@pytest.mark.parametrize("name", UNCONDITIONAL)
def test_activations_are_relu_and_tanh_in_g_and_leaky_relu_in_d(name):
    """Rules 4 and 5: G's hidden maps are never negative, its images lie in (-1, 1); D leaks 0.2 below zero."""
    generator, discriminator = built(small(name))
    z = torch.rand(8, generator.net.latent) * 2 - 1
    assert all(bool((maps >= 0).all()) and bool((maps == 0).any()) for maps in generator.hidden_maps(z))
    assert generator.image.activation == "tanh"
    x = generator(z)
    assert x.abs().max() < 1
    for block in discriminator.convs:
        before = block.layer(x) if block.norm is None else block.norm(block.layer(x))
        after = block(x)
        torch.testing.assert_close(after, torch.where(before > 0, before, 0.2 * before))
        x = after


@pytest.mark.parametrize("name", list(NETS))
def test_weights_start_as_normal_002(name):
    """Sec. 4: all weights from N(0, 0.02); none of the layers has a bias, as in the released code."""
    for net in built(f"{name}-w16", 1):
        layers = [m for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]
        weights = torch.cat([m.weight.detach().flatten() for m in layers])
        assert all(m.bias is None for m in layers)
        assert abs(weights.std().item() - 0.02) < 3e-4
        assert abs(weights.mean().item()) < 3e-4


def test_conditional_net_has_no_gain_or_shift_and_needs_its_label():
    """The supplement's net: batch norm without parameters, images in (0, 1), the label decides the image."""
    generator, discriminator = built("mnist_conditional-w4", 1)
    assert all(m.weight is None and m.bias is None for m in generator.modules() if isinstance(m, BatchNorm))
    z = torch.rand(6, 100) * 2 - 1
    labels = torch.arange(6)
    x = generator(z, labels)
    assert x.shape == (6, 1, 28, 28)
    assert x.min() > 0
    assert x.max() < 1
    assert not torch.equal(x, generator(z, labels.flip(0)))
    assert discriminator(x, labels).shape == (6,)
    with pytest.raises(ValueError, match="give the label of each image"):
        generator(z)
    with pytest.raises(ValueError, match="takes no labels"):
        built("svhn32-w4")[1](torch.zeros(2, 3, 32, 32), torch.tensor([0, 1]))


@pytest.mark.parametrize("ablation", list(ABLATIONS))
def test_each_ablation_takes_one_rule_away_and_still_makes_images(ablation):
    generator, discriminator = built(f"svhn32-w4-{ablation}")
    x = generator(torch.rand(4, 100) * 2 - 1)
    assert x.shape == (4, 3, 32, 32)
    assert discriminator(x).shape == (4,)
    kinds = {type(m) for net in (generator, discriminator) for m in net.modules()}
    assert (nn.MaxPool2d in kinds and nn.Upsample in kinds) == (ablation == "pooling")
    assert (BatchNorm not in kinds) == (ablation == "nobn")
    assert (generator.dense is not None) == (ablation == "dense")


@pytest.mark.parametrize(
    ("name", "message"),
    [("resnet", "no net 'resnet'"), ("svhn32-w0", "no suffix 'w0'"), ("svhn32-x", "no suffix 'x'")],
)
def test_unknown_names_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        net_named(name)


def test_an_image_does_not_depend_on_its_batch_once_statistics_are_fixed():
    """Batch norm normalises by the reference batch, so a z gives the same image alone and in company."""
    generator, _ = built("svhn32-w4")
    with pytest.raises(ValueError, match="no reference statistics"):
        generator.eval()(torch.zeros(2, 100))
    estimate_statistics(generator, [(torch.rand(64, 100) * 2 - 1,)])
    z = torch.rand(16, 100) * 2 - 1
    together, alone = generator(z), generator(z[3:4])
    torch.testing.assert_close(together[3:4], alone)


def test_the_reference_batch_itself_is_normalised_as_in_training():
    """With one reference batch, evaluation on it equals the training forward: the same moments."""
    generator, _ = built("svhn32-w4")
    z = torch.rand(64, 100) * 2 - 1
    as_trained = generator.train()(z)
    estimate_statistics(generator, [(z,)])
    torch.testing.assert_close(generator(z), as_trained, atol=1e-5, rtol=1e-4)


def test_groups_normalise_as_separate_processes_would():
    """Two groups over one batch are two processes with half the batch each."""
    norm = BatchNorm(3, True, 1e-5)
    x = torch.randn(8, 3, 4, 4)
    apart = torch.cat([norm(x[:4]), norm(x[4:])])
    norm.groups = 2
    torch.testing.assert_close(norm(x), apart)


def test_weights_of_another_net_are_refused():
    generator, discriminator = built("svhn32-w4")
    tensors = {f"discriminator.{name}": tensor for name, tensor in discriminator.state_dict().items()}
    _, same = built("svhn32-w4")
    load_part(same, tensors, "discriminator.")
    with pytest.raises(ValueError, match="of another net, width or number of channels"):
        load_part(build_discriminator("svhn32-w8", 3), tensors, "discriminator.")
    with pytest.raises(ValueError, match="of another net"):
        load_part(build_discriminator("imagenet32-w4", 3), tensors, "discriminator.")
    with pytest.raises(ValueError, match="have no generator"):
        load_part(generator, tensors, "generator.")


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (5, 2), (3, 1), (3, 2)])
def test_weight_gradient_as_a_product_is_autograds(kernel, stride):
    """Two blocks of images and an incomplete third; a convolution and, with the two sides exchanged, its transpose."""
    rng = torch.Generator().manual_seed(0)
    images, padding = 2 * PATCHED_IMAGES + 3, (kernel - 1) // 2
    x = torch.randn(images, 5, 8, 8, generator=rng).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(7, 5, kernel, kernel, generator=rng, requires_grad=True)
    y = F.conv2d(x, weight, None, stride, padding)
    gradient = torch.randn(y.shape, generator=rng)
    (expected,) = torch.autograd.grad(y, weight, gradient)
    torch.testing.assert_close(weight_gradient(x, gradient, kernel, stride, padding), expected, atol=1e-3, rtol=1e-4)
    extra = 8 - (stride * (y.shape[2] - 1) - 2 * padding + kernel)
    back = F.conv_transpose2d(y.detach(), weight, None, stride, padding, extra)
    (expected,) = torch.autograd.grad(back, weight, x)
    found = weight_gradient(x, y.detach(), kernel, stride, padding)
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=1e-3)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (5, 2), (3, 1), (3, 2)])
@pytest.mark.parametrize("sides", [(8, 8), (7, 6)])
def test_both_convolutions_as_products_are_torchs(monkeypatch, kernel, stride, sides):
    """Values and layout, of maps that are not square and of more images than are taken at a time."""
    rng = torch.Generator().manual_seed(0)
    padding = (kernel - 1) // 2
    x = torch.randn(PATCHED_IMAGES + 3, 5, *sides, generator=rng).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(7, 5, kernel, kernel, generator=rng)
    expected = F.conv2d(x, weight, None, stride, padding)
    expected_back = [F.conv_transpose2d(expected, weight, None, stride, padding, extra) for extra in range(stride)]
    monkeypatch.setattr(convolutions, "_few_places", lambda *_: True)
    found = strided(x, weight, stride, padding)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for extra, back in enumerate(expected_back):
        found = fractionally_strided(expected, weight, stride, padding, extra)
        torch.testing.assert_close(found, back, atol=1e-3, rtol=1e-4)
        assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layer", [StridedConv, FractionallyStridedConv])
@pytest.mark.parametrize("products", [False, True])
def test_gradients_of_a_layer_are_torchs(monkeypatch, layer, products):
    """By the input and by the weights, whichever way the passes are taken."""
    torch.manual_seed(0)
    monkeypatch.setattr(convolutions, "_few_places", lambda *_: products)
    ours = layer(FEWEST_MAPS, FEWEST_MAPS, 5, 2, 2, bias=False)
    x = torch.randn(3, FEWEST_MAPS, 6, 6, requires_grad=True)
    y = ours(x)
    gradient = torch.randn_like(y)
    torchs = (F.conv2d if layer is StridedConv else F.conv_transpose2d)(x, ours.weight, None, 2, 2)
    torch.testing.assert_close(y, torchs, atol=1e-4, rtol=1e-4)
    expected = torch.autograd.grad(torchs, (x, ours.weight), gradient)
    torch.testing.assert_close(torch.autograd.grad(y, (x, ours.weight), gradient), expected, atol=1e-3, rtol=1e-4)


def test_a_weight_gradient_is_computed_only_where_it_is_asked_for(monkeypatch):
    """G's step goes through D to D's input, and D's weights, though parameters, are not among what it asks for."""
    computed = []

    def counted(*arguments):
        computed.append(arguments)
        return weight_gradient(*arguments)

    monkeypatch.setattr(convolutions, "weight_gradient", counted)
    layer = StridedConv(FEWEST_MAPS, FEWEST_MAPS, 4, 2, 1, bias=False)
    x = torch.randn(2, FEWEST_MAPS, 8, 8, requires_grad=True)
    torch.autograd.grad(layer(x).sum(), x)
    assert not computed
    _, of_weight = torch.autograd.grad(layer(x).sum(), (x, layer.weight))
    assert len(computed) == 1
    layer(x).sum().backward(inputs=[layer.weight])
    assert len(computed) == 2
    torch.testing.assert_close(layer.weight.grad, of_weight)
