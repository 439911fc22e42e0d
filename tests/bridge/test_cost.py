"""Operations counted from settings, against the networks' own numbers."""

import pytest

from relatent.bridge.cost import (
    Cost,
    annealing_flop,
    bound_flop,
    density_epochs,
    density_macs,
    gan_macs,
    images_scored,
    in_words,
    wall_seconds,
)
from relatent.ledger.jobs import PlannedJob
from relatent.models.dcgan_nets import net_named
from relatent.progress import Reading


@pytest.mark.parametrize(("layers", "parameters"), [(1, 425_284), (2, 521_084)])
def test_multiplications_are_the_weights(layers, parameters):
    """Every weight of the paper's networks is used once per image and sample; the biases are the rest."""
    encode, sample = density_macs(layers, None, 784)
    biases = {
        1: 2 * 200 + 2 * 50 + 2 * 200 + 784,
        2: 2 * 200 + 2 * 100 + 2 * 200 + 784 + 2 * (2 * 100) + 2 * 50 + 2 * 100,
    }
    assert encode + sample + biases[layers] == parameters


def test_the_papers_schedule_has_3280_epochs():
    """3^0 + … + 3^7 (Burda et al. 2016, sec. 5); `short` is its first five stages, 121 epochs."""
    assert density_epochs({}) == 3280
    assert density_epochs({"stages": 5}) == 121
    assert density_epochs({"epochs": 30}) == 30


def test_a_switched_cell_trains_the_last_stage_alone():
    """Table 2: 3^7 epochs after another cell's 3,280; of a cut schedule what is left of its last stage."""
    assert density_epochs({"stages": 8, "switched": True}) == 2187
    assert density_epochs({"stages": 5, "switched": True}) == 81
    assert density_epochs({"epochs": 30, "switched": True}) == 17


def test_images_that_are_null_are_all_of_their_split():
    """The released code scores every training image and every test image without inactive units; 0 is none."""
    sizes = {"train": 60_000, "test": 10_000}

    def scored(**images) -> int:
        return images_scored({"test_images": None, "train_images": 0, **images}, sizes)

    assert scored() == 10_000
    assert scored(train_images=None) == scored(train_images=60_000) == 70_000
    assert scored(test_images=100) == 100


def test_a_bound_costs_one_encoding_and_k_decodings():
    """Of every image, under every seed's model."""
    assert bound_flop(1, 0, [0], 1, 784) == 2 * (784 * 200 + 200 * 200 + 200 * 100)
    decoding = 2 * (50 * 200 + 200 * 200 + 200 * 784)
    assert bound_flop(1, 5000, [0], 1, 784) - bound_flop(1, 0, [0], 1, 784) == 5000 * decoding
    assert bound_flop(30, 7, [0, 1, 2], 2, 784) == 90 * bound_flop(1, 7, [0], 2, 784)


def test_annealing_costs_gradients_of_every_move():
    """Counted by running the annealer with a decoder that counts its calls."""
    torch = pytest.importorskip("torch")
    from relatent.evaluation.ais import Annealer, inverse_temperatures

    class Counting:
        latents = 3
        points = 0

        def sample_start(self, noise):
            return noise

        def log_start(self, z):
            return -0.5 * z.square().sum(-1)

        def log_joint(self, z):
            self.points += z[..., 0].numel() * (2 if z.requires_grad else 1)  # a gradient goes there and back
            return -z.square().sum(-1)

    target, images, temperatures = Counting(), 5, 40
    annealer = Annealer(target, inverse_temperatures(temperatures, "sigmoid"), 0, images)
    annealer.tune(4)
    annealer.forward(16)
    test = target.points
    annealer.reverse(torch.zeros(1, images, 3))
    own = {"pilot_chains": 4, "chains": 16, "temperatures": temperatures}
    decoding = 2 * (50 * 200 + 200 * 200 + 200 * 784)
    for points, settings in (
        (test, {"images": images, "simulated": 0}),
        (target.points, {"images": 0, "simulated": images}),
    ):
        assert annealing_flop({**own, **settings}, 1, 784) / decoding == pytest.approx(points, rel=0.03)


def test_a_gans_multiplications_are_those_of_its_layers():
    """Counted with torch's own shapes, layer by layer."""
    torch = pytest.importorskip("torch")
    from relatent.models.dcgan import build_discriminator, build_generator

    def counted(model, example) -> int:
        total = 0

        def hook(layer, inputs, output):
            nonlocal total
            places = inputs[0] if isinstance(layer, torch.nn.ConvTranspose2d) else output
            total += layer.weight.numel() * (places[0, 0].numel() if places.dim() == 4 else 1)

        kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)
        for layer in model.modules():
            if isinstance(layer, kinds):
                layer.register_forward_hook(hook)
        with torch.no_grad():
            model(example)
        return total

    net = net_named("svhn32-w16")
    generator, discriminator = gan_macs(net, 1)
    assert counted(build_discriminator("svhn32-w16", 1), torch.zeros(2, 1, net.side, net.side)) == discriminator
    assert counted(build_generator("svhn32-w16", 1), torch.zeros(2, net.latent)) == generator


def test_side_by_side_is_no_faster_than_the_longest():
    """Ten cores do not shorten one job."""
    costs = [Cost(PlannedJob("r", (), (f"x{number}",)), None, s) for number, s in enumerate((10.0, 1.0, None))]
    assert wall_seconds(costs, cores=10) == 10
    assert wall_seconds(costs, cores=1) == 11
    assert wall_seconds([], cores=1) == 0
    assert [in_words(s) for s in (5, 600, 9000, 400_000)] == ["5 s", "10 min", "2.5 h", "4.6 days"]


def test_jobs_that_wait_for_each_other_add_up():
    """Training, half done, then its evaluation; beside them a job that waits for neither."""
    costs = [
        Cost(PlannedJob("evaluate_nll", ("model",), ("metrics",)), None, 20.0),
        Cost(PlannedJob("train_density", ("images",), ("model",)), None, 100.0, reading=Reading("", 0.5, 50.0)),
        Cost(PlannedJob("probe", ("images",), ("accuracy",)), None, 5.0),
    ]
    assert wall_seconds(costs, cores=10) == 70
    assert wall_seconds(costs, cores=1) == 75
