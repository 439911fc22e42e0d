"""The L2-SVM against its definition, against liblinear, and at the edges of what can be asked of it."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from relatent.probe.gram import GramSpace
from relatent.probe.l2svm import L2SVM, class_signs, cross_validate, fit_path
from relatent.probe.primal import PrimalSpace
from relatent.probe.rows import Rows


def objective_and_gradient(model: L2SVM, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P of each class and |grad P|, from the definition, in extended precision."""
    rows = np.column_stack([X, np.ones(len(X))]).astype(np.longdouble)
    weights = np.column_stack([model.coef_, model.intercept_]).astype(np.longdouble)
    signs = class_signs(np.searchsorted(model.classes_, y), len(model.classes_)).astype(np.longdouble)
    slack = np.maximum(0, 1 - signs * (weights @ rows.T))
    gradient = weights - 2 * model.C * (signs * slack) @ rows
    return 0.5 * (weights**2).sum(1) + model.C * (slack**2).sum(1), np.sqrt((gradient**2).sum(1))


def blobs(rng: np.random.Generator, n: int, d: int, classes: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    y = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
    return rng.standard_normal((classes, d))[y] + spread * rng.standard_normal((n, d)), y


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(4, 60),
    d=st.integers(1, 60),
    classes=st.integers(2, 4),
    spread=st.sampled_from([0.0, 1e-3, 0.3, 3.0]),
    scale=st.sampled_from([1e-3, 1.0, 30.0]),
    column_scale=st.sampled_from([1.0, 1e-6, 1e2]),
    repeat=st.booleans(),
    constant=st.booleans(),
    C=st.sampled_from([1e-4, 1e-2, 1.0, 10.0]),
)
def test_objective_is_within_a_millionth_of_the_optimum(
    seed, n, d, classes, spread, scale, column_scale, repeat, constant, C
):
    """P is 1-strongly convex, so P - min P <= |grad P|^2 / 2, whatever the data: separable, repeated, badly scaled.

    Up to 2 C |X|^2 of about 1e11: beyond, rounding of w in float64 alone moves this bound above a millionth.
    """
    X, y = blobs(np.random.default_rng(seed), n, d, classes, spread)
    X[:, 0] *= column_scale
    if repeat:
        X, y = np.repeat(X, 2, axis=0), np.repeat(y, 2)
    if constant:
        X[:, -1] = 7.0
    X *= scale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what is asked here is looser than tol
        model = L2SVM(C=C).fit(X, y)
    objective, gradient = objective_and_gradient(model, X, y)
    assert (gradient**2 / 2 <= 1e-6 * objective).all()
    np.testing.assert_allclose(model.objective_, objective.astype(float), rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from([(40, 8), (30, 30), (25, 80), (120, 20)]),
    classes=st.integers(2, 5),
    spread=st.sampled_from([0.5, 2.0]),
    C=st.sampled_from([1e-3, 1e-2, 0.1]),
)
def test_margins_are_those_of_liblinear(seed, shape, classes, spread, C):
    """LinearSVC at its defaults minimises the same objective; where it converged, so did we, to the same place."""
    rng = np.random.default_rng(seed)
    X, y = blobs(rng, *shape, classes, spread)
    peer = LinearSVC(C=C, tol=1e-8, max_iter=100_000, dual=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            peer.fit(X, y)
        except ConvergenceWarning:
            return
    model = L2SVM(C=C).fit(X, y)
    unseen = rng.standard_normal((50, shape[1])) * 2
    np.testing.assert_allclose(model.decision_function(unseen), peer.decision_function(unseen), atol=1e-6, rtol=0)
    np.testing.assert_array_equal(model.predict(unseen), peer.predict(unseen))


@pytest.mark.parametrize("n", [300, 1000])
def test_float32_products_leave_float64_answers(n, monkeypatch):
    """Large problems are solved with float32 products, in either space; their error is taken out again."""
    monkeypatch.setattr("relatent.probe.rows.LARGE_PRODUCT", 1e6)
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((n + 200, 30))
    y = (hidden @ rng.standard_normal((30, 10)) + rng.standard_normal((n + 200, 10))).argmax(axis=1)
    X = hidden @ rng.standard_normal((30, 800))
    X = (np.where(X > 0, X, 0.2 * X) / 10).astype(np.float32)  # like a discriminator's: dense, no exact zeros
    assert Rows(X[:n]).large
    model = L2SVM(C=1e-3).fit(X[:n], y[:n])
    peer = LinearSVC(C=1e-3, tol=1e-8, max_iter=10_000, dual=True).fit(X[:n].astype(np.float64), y[:n])
    unseen = X[n:].astype(np.float64)
    np.testing.assert_allclose(model.decision_function(unseen), peer.decision_function(unseen), atol=1e-6, rtol=0)
    np.testing.assert_array_equal(model.predict(unseen), peer.predict(unseen))


@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0])
def test_both_spaces_have_one_optimum(C):
    """The problem does not know in which space it is solved."""
    X, y = blobs(np.random.default_rng(1), 80, 40, 4, 1.0)
    signs = class_signs(y, 4)
    gram, primal = (space(Rows(X)).solve(signs, C, 1e-13) for space in (GramSpace, PrimalSpace))
    np.testing.assert_allclose(gram.weights, primal.weights, atol=1e-8)


def test_conjugate_gradients_and_factorisations_agree(monkeypatch):
    """Which way a Newton step is solved is a matter of time only."""
    X, y = blobs(np.random.default_rng(2), 90, 45, 3, 1.0)
    signs = class_signs(y, 3)
    outright = [space(Rows(X)).solve(signs, 0.1, 1e-13) for space in (GramSpace, PrimalSpace)]
    monkeypatch.setattr("relatent.probe.gram.OUTRIGHT", 0.0)
    monkeypatch.setattr("relatent.probe.primal.OUTRIGHT_PASSES", 0)
    shared = [space(Rows(X)).solve(signs, 0.1, 1e-13) for space in (GramSpace, PrimalSpace)]
    monkeypatch.setattr(PrimalSpace, "DENSE_FEATURES", 0)
    monkeypatch.setattr(PrimalSpace, "LEADING", 12)
    shared.append(PrimalSpace(Rows(X)).solve(signs, 0.1, 1e-13))
    for answer in [*outright, *shared]:
        np.testing.assert_allclose(answer.weights, outright[0].weights, atol=1e-7)
        assert (answer.gap <= 1e-13 * answer.objective).all()


def test_a_row_left_out_by_its_sign_is_as_if_absent():
    """y = 0 leaves a row out of a class's problem, so that folds can share a Gram matrix."""
    X, y = blobs(np.random.default_rng(3), 50, 60, 3, 1.0)
    kept = np.arange(50) % 5 != 0
    signs = np.where(kept, class_signs(y, 3), 0.0)
    together = GramSpace(Rows(X)).solve(signs, 0.01, 1e-13)
    apart = GramSpace(Rows(X[kept])).solve(class_signs(y[kept], 3), 0.01, 1e-13)
    np.testing.assert_allclose(together.weights, apart.weights, atol=1e-9)
    np.testing.assert_allclose(together.objective, apart.objective)


@pytest.mark.parametrize("shape", [(40, 90), (90, 20)])
def test_a_sign_of_size_root_two_counts_a_row_twice(shape):
    """In either space, by factorisation or by conjugate gradients."""
    X, y = blobs(np.random.default_rng(13), *shape, 3, 1.0)
    doubled = np.arange(len(X)) % 3 == 0
    weighted = class_signs(y, 3) * np.where(doubled, np.sqrt(2), 1.0)
    repeated = np.concatenate([np.arange(len(X)), np.flatnonzero(doubled)])
    expected = PrimalSpace(Rows(X[repeated])).solve(class_signs(y[repeated], 3), 0.05, 1e-13)
    with pytest.MonkeyPatch.context() as patch:
        for outright in (True, False):
            if not outright:
                patch.setattr("relatent.probe.gram.OUTRIGHT", 0.0)
                patch.setattr("relatent.probe.primal.OUTRIGHT_PASSES", 0)
            for space in (GramSpace, PrimalSpace):
                found = space(Rows(X)).solve(weighted, 0.05, 1e-13)
                np.testing.assert_allclose(found.weights, expected.weights, atol=1e-8)


def test_cross_validation_in_one_problem_is_cross_validation():
    """Leaving a part out by signs of 0 gives what fitting the other parts gives."""
    X, y = blobs(np.random.default_rng(12), 60, 8, 3, 1.5)
    part = np.arange(60) % 4
    for C, value in cross_validate(X, y, [0.01, 1.0], part).items():
        apart = [L2SVM(C=C).fit(X[part != i], y[part != i]).score(X[part == i], y[part == i]) for i in range(4)]
        assert value == pytest.approx(np.mean(apart))
    with pytest.raises(ValueError, match="in one part alone"):
        cross_validate(X, y, [0.01], y)


def test_a_path_gives_what_single_fits_give_in_the_order_asked():
    """Warm starts save time and change nothing."""
    X, y = blobs(np.random.default_rng(4), 60, 90, 4, 1.0)
    C_values = [1e-1, 1e-4, 1e-2]
    for C, model in zip(C_values, fit_path(X, y, C_values), strict=True):
        assert model.C == C
        np.testing.assert_allclose(model.coef_, L2SVM(C=C).fit(X, y).coef_, atol=1e-8)


def test_a_block_of_a_larger_gram_matrix_serves_a_draw():
    """Draws of labels are sub-blocks of one Gram matrix."""
    X, y = blobs(np.random.default_rng(5), 80, 200, 4, 1.0)
    drawn = np.arange(0, 80, 2)
    block = Rows(X).gram()[np.ix_(drawn, drawn)]
    by_block = fit_path(X[drawn], y[drawn], [0.01], gram=block)[0]
    np.testing.assert_allclose(by_block.coef_, L2SVM(C=0.01).fit(X[drawn], y[drawn]).coef_, atol=1e-9)


def test_it_is_a_scikit_learn_estimator():
    check_estimator(L2SVM())


def test_a_class_missing_from_a_draw_is_never_predicted():
    """The classes of a fit are those it saw."""
    X, y = blobs(np.random.default_rng(6), 40, 5, 4, 0.1)
    model = L2SVM().fit(X[y != 2], y[y != 2])
    assert model.classes_.tolist() == [0, 1, 3]
    assert 2 not in model.predict(X)


def test_labels_may_be_words():
    X, y = blobs(np.random.default_rng(7), 30, 5, 3, 0.1)
    words = np.array(["cat", "dog", "owl"])[y]
    assert L2SVM().fit(X, words).score(X, words) == 1.0


def test_duplicated_rows_are_a_doubled_C():
    """Every slack counts twice."""
    X, y = blobs(np.random.default_rng(8), 30, 50, 3, 1.0)
    twice = L2SVM(C=0.1).fit(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    np.testing.assert_allclose(twice.coef_, L2SVM(C=0.2).fit(X, y).coef_, atol=1e-8)


def test_features_of_nothing_leave_the_intercept():
    """With all features zero, P = b^2/2 + C sum (1 - y b)^2 is least at b = 2 C sum y / (1 + 2 C n)."""
    y = np.array([0, 1, 1, 1])
    model = L2SVM(C=0.5).fit(np.zeros((4, 3)), y)
    np.testing.assert_allclose(model.intercept_, [2 * 0.5 * 2 / (1 + 2 * 0.5 * 4)])
    assert not model.coef_.any()


@pytest.mark.parametrize("C", [0, -1.0, np.inf, np.nan, "1", None])
def test_C_must_be_positive_and_finite(C):
    X, y = blobs(np.random.default_rng(9), 10, 3, 2, 1.0)
    with pytest.raises(ValueError, match="C must be a positive, finite number"):
        L2SVM(C=C).fit(X, y)
    with pytest.raises(ValueError, match="C must be a positive, finite number"):
        fit_path(X, y, [C])


def test_one_row_or_one_class_is_refused():
    with pytest.raises(ValueError, match="at least two classes"):
        L2SVM().fit(np.ones((1, 3)), [0])
    with pytest.raises(ValueError, match="at least two classes"):
        L2SVM().fit(np.eye(3), [1, 1, 1])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_refused(bad):
    X, y = blobs(np.random.default_rng(10), 10, 3, 2, 1.0)
    X[3, 1] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        L2SVM().fit(X, y)


def test_an_unfinished_answer_says_so(monkeypatch):
    """Never an unconverged answer in silence: the bound on its error is in the warning and in gap_."""
    monkeypatch.setattr("relatent.probe.primal.NEWTON_STEPS", 2)
    X, y = blobs(np.random.default_rng(11), 200, 10, 2, 2.0)
    with pytest.warns(ConvergenceWarning, match="proven within"):
        model = L2SVM(C=10.0).fit(X, y)
    assert not model.converged_
    objective, gradient = objective_and_gradient(model, X, y)
    np.testing.assert_allclose(model.gap_, (gradient**2 / 2).astype(float), rtol=1e-6)
    assert (model.gap_ > model.tol * objective).any()
