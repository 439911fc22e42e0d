"""The rows beside the L2-SVM: each learns what it claims to learn, on made-up data where the answer is known."""

import numpy as np
import pytest
import torch

from relatent.data.streams import stream
from relatent.probe.baselines import exemplar, m1m2, supervised, swwae, tsvm
from relatent.probe.baselines.boltzmann import belief_features
from relatent.probe.baselines.knn import nearest_labels
from relatent.probe.baselines.minibatches import minibatches, torch_rng
from relatent.probe.l2svm import L2SVM
from relatent.probe.rivals import few_labels_with


def moons_in_a_line(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two dense, lying clusters apart in the second direction; the first direction tells nothing of the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = np.column_stack([rng.uniform(-1.5, 1.5, n), (2 * y - 1) + 0.2 * rng.standard_normal(n)])
    return x.astype(np.float32), y


def stripes(n: int, seed: int = 0, side: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Images of upright (0) or lying (1) stripes of any phase, with noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    phase = rng.integers(4, size=n)
    waves = ((np.arange(side)[None] + phase[:, None]) // 2 % 2) * 160.0
    images = np.where(labels[:, None, None] == 0, waves[:, None, :], waves[:, :, None])
    images = images + rng.uniform(0, 90, (n, side, side))
    return np.clip(images, 0, 255).astype(np.uint8)[:, None], labels


def test_one_neighbour_is_the_nearest_and_ties_go_to_it():
    known, labels = np.array([[0.0], [1.0], [10.0], [11.0]], np.float32), np.array([5, 7, 9, 9])
    unknown = np.array([[0.4], [0.6], [6.0]], np.float32)
    assert nearest_labels(known, labels, unknown, 1).tolist() == [5, 7, 9]
    assert nearest_labels(known, labels, unknown, 2).tolist() == [5, 7, 9]  # one vote each: the nearer has it
    assert nearest_labels(known, labels, np.array([[9.0]], np.float32), 3).tolist() == [9]
    assert nearest_labels(known, labels, unknown, 99).tolist() == [9, 9, 9]


def test_a_transductive_svm_puts_its_border_where_no_rows_are():
    """Two labels alone suggest a slanted border; the unlabelled rows show that it lies flat."""
    x, y = moons_in_a_line(300)
    labelled = np.array([[-1.0, -1.0], [1.0, 1.0]], np.float32)
    alone = L2SVM(C=1.0).fit(labelled, [0, 1]).predict(x)
    weights, classes = tsvm.fit_tsvm(labelled, np.array([0, 1]), x, 1.0, [0.01, 0.1, 1.0, 10.0])
    together = tsvm.predict(weights, classes, x)
    assert (alone == y).mean() < 0.9
    assert (together == y).mean() > 0.98


def test_the_balance_constraint_holds_and_without_unlabelled_rows_it_is_the_svm():
    """Scores of 1 for exactly the share of the labelled rows; no unlabelled rows, no difference."""
    assert tsvm._largest(np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]]), np.array([1, 2])).tolist() == [
        [1, -1, -1],
        [-1, 1, 1],
    ]
    x, y = moons_in_a_line(40)
    weights, _ = tsvm.fit_tsvm(x, y, x[:0], 0.1, [1.0], tol=1e-13)
    np.testing.assert_allclose(weights[0, :-1], L2SVM(C=0.1).fit(x, y).coef_[0], atol=1e-8)
    with pytest.raises(ValueError, match="at least two classes"):
        tsvm.fit_tsvm(x[:2], np.zeros(2), x, 0.1, [1.0])


def test_a_belief_nets_features_are_probabilities_of_every_layer():
    images = stripes(80)[0]
    grey = images.reshape(80, -1) / 255.0
    train, test = belief_features(grey[:60], [grey[60:]], [12, 6], 5, 0.05, 10, 0)
    assert train.shape == (60, 18) and test.shape == (20, 18)
    assert ((train >= 0) & (train <= 1)).all()
    again, _ = belief_features(grey[:60], [grey[60:]], [12, 6], 5, 0.05, 10, 0)
    np.testing.assert_array_equal(train, again)


def test_m1_bounds_the_density_from_below_and_learning_raises_the_bound():
    """log p(x) of the data's own Gaussian is the best any model can reach on average."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((300, 2)) @ rng.standard_normal((2, 5)) + 0.3 * rng.standard_normal((300, 5))).astype(
        np.float32
    )
    first, later = (m1m2.train_m1(x, 16, 2, epochs, 1e-2, 50, 0) for epochs in (1, 20))
    with torch.no_grad():
        bounds = [model.elbo(torch.from_numpy(x), torch_rng(0, "test")).mean().item() for model in (first, later)]
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(x, rowvar=False))[1]
    assert bounds[0] < bounds[1] < -entropy + 0.05
    assert m1m2.m1_codes(later, x).shape == (300, 2)


def test_more_draws_bring_m1s_bound_nearer_to_the_density():
    """E[L_k] grows with k (Burda et al. 2016, Theorem 1); at k = 1 it is the ELBO, here without its exact KL."""
    x = torch.randn(400, 5, generator=torch_rng(0, "x"))
    model = m1m2.train_m1(x.numpy(), 8, 2, 1, 1e-3, 50, 0, k=3)
    with torch.no_grad():
        elbo = torch.stack([model.elbo(x, torch_rng(i, "draws")) for i in range(40)]).mean()
        bounds = [model.iwae_bound(x, k, torch_rng(k, "draws")).mean() for k in (1, 40)]
        one = torch.stack([model.iwae_bound(x, 1, torch_rng(i, "draws")) for i in range(40)]).mean()
    assert bounds[0] < bounds[1]
    torch.testing.assert_close(one, elbo, atol=0.05, rtol=0)


def test_m2_sums_the_classes_out():
    """With q(y|x) certain, the bound on log p(x) is the labelled bound of that class."""
    model = m1m2.M2(4, 3, 8, 2)
    x = torch.randn(6, 4, generator=torch_rng(0, "x"))
    y = torch.eye(3)[torch.tensor([0, 1, 2, 0, 1, 2])]
    with torch.no_grad():
        model.classifier[2].weight.zero_()
        model.classifier[2].bias.copy_(torch.tensor([1e4, 0.0, 0.0]))
        for head in (model.encoder.mean, model.encoder.log_variance, model.decoder.mean, model.decoder.log_variance):
            head.weight[:, :] = 0.0  # neither code nor noise matters, so one draw is exact
        certain = torch.eye(3)[torch.zeros(6, dtype=torch.long)]
        torch.testing.assert_close(model.elbo(x, torch_rng(0, "a")), model.labelled_elbo(x, certain, torch_rng(0, "b")))
        model.classifier[2].bias.zero_()  # uniform q(y|x), classes alike: log 3 of entropy against log 3 of p(y)
        torch.testing.assert_close(
            model.elbo(x, torch_rng(0, "a")), model.labelled_elbo(x, y, torch_rng(0, "b")) + np.log(3)
        )


def test_m2_learns_from_rows_without_labels():
    """Two clusters, two labels: the classifier agrees with the clusters."""
    rng = np.random.default_rng(1)
    y = np.arange(400) % 2
    x = (np.array([[-2.0, 0.0], [2.0, 0.0]])[y] + 0.5 * rng.standard_normal((400, 2))).astype(np.float32)
    rows = np.array([0, 1, 2, 3])
    model, classes = m1m2.train_m2(x, rows, y[rows], 16, 2, 15, 1.0, 3e-3, 40, 0)
    assert (m1m2.m2_predict(model, classes, x) == y).mean() > 0.95


def test_unpooling_puts_a_value_back_where_it_was():
    x = torch.randn(2, 3, 8, 8, generator=torch_rng(0, "x"))
    what, where = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
    back = swwae._unpool(what, where)
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)  # torch's own unpooling has no deterministic form
    try:
        expected = torch.nn.functional.max_unpool2d(what, where, 2)
    finally:
        torch.use_deterministic_algorithms(deterministic)
    torch.testing.assert_close(back, expected)
    assert ((back == x) | (back == 0)).all()


def test_a_what_where_autoencoder_tells_stripes_apart_from_four_labels():
    images, labels = stripes(120)
    rows = np.array([0, 1, 2, 3])
    net, classes = swwae.train_swwae(images, rows, labels[rows], 4, 0.0, 1.0, 6, 5e-3, 20, 0)
    held, answers = stripes(60, seed=1)
    assert (swwae.predict(net, classes, held) == answers).mean() > 0.9


def test_a_supervised_net_has_the_discriminators_convolutions_and_learns():
    images, labels = stripes(60, side=32)
    trial = supervised.Trial(learning_rate=3e-3, weight_decay=1e-4, beta1=0.9, dropout=0.25)
    net, classes = supervised.train_classifier("svhn32-w4", images, labels, trial, 6, 20, 0)
    held, answers = stripes(40, seed=1, side=32)
    assert (supervised.predict(net, classes, held) == answers).mean() > 0.9
    assert len(net.body.convs) == 3


def test_trials_of_the_search_do_not_depend_on_how_many_there_are():
    assert supervised.draw_trial(0, 5) == supervised.draw_trial(0, 5) != supervised.draw_trial(0, 6)


def test_exemplars_are_told_apart_and_distortions_keep_the_shape():
    coarse = stream(0, "coarse images").integers(0, 256, (30, 1, 4, 4), dtype=np.uint8)
    images = np.repeat(np.repeat(coarse, 4, axis=2), 4, axis=3)
    seeds = torch.from_numpy(images[:6]).float() / 127.5 - 1
    assert exemplar.distorted(seeds, torch_rng(0, "d")).shape == seeds.shape
    net = exemplar.train_exemplar(images, 4, 4, 100, 16, 3e-3, 0)
    features = exemplar.exemplar_features(net, images)
    assert features.shape == (30, 4 * (4 + 8 + 16))
    chosen = np.sort(stream(0, "exemplars").choice(30, 4, replace=False))
    own = torch.from_numpy(images[chosen]).float() / 127.5 - 1
    with torch.no_grad():
        assert (net(own).argmax(dim=1) == torch.arange(4)).float().mean() >= 0.75


def test_minibatches_see_every_row_once():
    seen = np.concatenate(list(minibatches(20, 5, 0, "test", 0)))
    assert sorted(seen.tolist()) == list(range(20))
    assert [len(rows) for rows in minibatches(3, 5, 0, "test", 0)] == [3]


def test_a_rivals_draws_are_the_probes_and_its_setting_is_chosen_on_validation():
    x, y = moons_in_a_line(100)
    held, answers = moons_in_a_line(50, seed=1)

    def fit(flip, rows, labels):
        return lambda inputs: (nearest_labels(x[rows], labels, inputs, 1) + flip) % 2

    found = few_labels_with(fit, [1, 0], y, (held, answers), held, 5, 3, 2, 0)
    assert found.chosen == 0 and found.predictions.shape == (3, 50)
    from relatent.probe.protocols import draw_labels

    np.testing.assert_array_equal(found.rows[1], draw_labels(y, 5, stream(0, "labelled draw", 1)))
