"""Operations counted from settings, against the networks' own numbers."""

import pytest

from relatent.bridge.cost import (
    Cost,
    density_epochs,
    density_macs,
    evaluation_flop,
    gan_macs,
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

    def flop(**images) -> float:
        whole = {"test_images": None, "train_images": 0, "removed_images": 0, **images}
        return evaluation_flop({**whole, "k": 5000, "seeds": [0]}, 1, 784, sizes)

    assert flop(train_images=None, removed_images=None) == 8 * flop()
    assert flop(train_images=None) == flop(train_images=60_000)
    assert flop(removed_images=None) == 2 * flop()
    assert flop(test_images=100) == flop() / 100


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
