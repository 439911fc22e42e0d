"""Cells of the gan section: names, presets, refusals."""

import pytest
from pydantic import ValidationError

from relatent.config.gan import ABLATION_NAMES, NET_NAMES, GanSection
from relatent.config.sample import SampleSection, gan_sample_settings
from relatent.models.dcgan_nets import ABLATIONS, NETS, net_named


def test_settings_and_models_know_the_same_names():
    """Neither room knows the other, so the lists stand twice; this holds them together."""
    assert tuple(NETS) == NET_NAMES
    assert tuple(ABLATIONS) == ABLATION_NAMES


def test_a_cells_marks_become_settings_and_the_rest_names_a_net():
    section = GanSection(run=["d/svhn32-w16-nobn-code-bf16-s3", "d/mnist_conditional-code", "d/svhn32"])
    settings = section.settings_of("d/svhn32-w16-nobn-code-bf16-s3")
    assert (settings.net, settings.preset, settings.precision, settings.seed) == ("svhn32-w16-nobn", "code", "bf16", 3)
    assert (settings.updates, settings.l2, settings.batch_norm_eps) == ("alternate", 1e-5, 1e-8)
    assert net_named(settings.net).width == 16
    assert section.settings_of("d/mnist_conditional-code").l2 == 2.5e-5
    assert section.settings_of("d/svhn32").updates == "both"
    assert section.conditional("d/mnist_conditional-code")


def test_values_of_the_section_win_over_the_preset_and_those_of_the_cell_over_both():
    section = GanSection(run=["d/svhn32-code"], l2=0.5, per_cell={"d/svhn32-code": {"epochs": 2}})
    settings = section.settings_of("d/svhn32-code")
    assert (settings.l2, settings.epochs) == (0.5, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"run": ["d/svhn32", "d/svhn32"]}, "list d/svhn32 twice"),
        ({"run": ["svhn32"]}, "a gan cell is <dataset>/<net>"),
        ({"run": ["d/vgg"]}, "no net 'vgg'"),
        ({"run": ["d/svhn32-x"]}, "unknown part 'x'"),
        ({"run": ["d/svhn32"], "per_cell": {"d/lsun64": {}}}, "which run does not list"),
        ({"run": ["d/svhn32"], "snapshot_epochs": [0]}, "counted from 1"),
        ({"run": ["d/svhn32"], "snapshot_epochs": [1, 1]}, "lists an epoch twice"),
        ({"run": ["d/svhn32"], "batch_size": 10, "processes": 3}, "cannot be cut among 3"),
        ({"run": ["d/svhn32"], "epochs": 0}, "greater than or equal to 1"),
        ({"run": ["d/svhn32"], "epoch": 3}, "Extra inputs"),
    ],
)
def test_wrong_sections_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        GanSection.model_validate(values)


def test_sampling_knows_gan_cells_from_density_cells():
    gan = GanSection(run=["d/svhn32-w16"])
    sample = SampleSection(run=["d/svhn32-w16", "d/iwae-L1-k5"])
    assert sample.gan_cells() == ["d/svhn32-w16"]
    assert sample.density_cells() == ["d/iwae-L1-k5"]
    assert gan_sample_settings(sample, gan, "d/svhn32-w16").net == "svhn32-w16"
