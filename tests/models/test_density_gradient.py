"""The hand-written gradient against autograd."""

import math

import pytest
import torch
from density_cases import batch, random_model

from relatent.models.density_gradient import weighted_gradient
from relatent.objectives.bounds import BOUNDS


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("objective", ["vae", "iwae"])
@pytest.mark.parametrize("k", [1, 5])
def test_hand_written_gradient_is_autograds(layers, objective, k):
    """Eq. 14, with its coefficients, is the total derivative of the bound: to 1e-12 in float64.

    Of a parameter's largest entry, as an entry is a sum of terms of about that size, and may cancel to near zero.
    """
    model = random_model(layers=layers)
    x, noise = batch(model, k=k)
    bound, coefficients_of = BOUNDS[objective]
    log_w = model.log_importance_weights(x, noise)
    bound(log_w).sum().backward()
    with torch.no_grad():
        by_hand = weighted_gradient(dict(model.named_parameters()), x, noise, coefficients_of)
    torch.testing.assert_close(by_hand.log_w, log_w.detach(), rtol=1e-12, atol=1e-12)
    assert set(by_hand.gradient) == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        assert (by_hand.gradient[name] - parameter.grad).abs().max() <= 1e-12 * parameter.grad.abs().max(), name


@pytest.mark.parametrize("layers", [1, 2])
def test_gradient_is_written_where_it_is_wanted(layers):
    """`into` receives the same numbers, bit for bit."""
    model = random_model(layers=layers, dtype=torch.float32)
    x, noise = batch(model)
    coefficients_of = BOUNDS["iwae"][1]
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    into = {name: torch.full_like(value, 7.0) for name, value in parameters.items()}
    free = weighted_gradient(parameters, x, noise, coefficients_of).gradient
    weighted_gradient(parameters, x, noise, coefficients_of, into)
    assert all(torch.equal(free[name], into[name]) for name in parameters)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("log_sd", [math.log(1e-6), math.log(1e3)])
@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_extreme_logits_and_deviations_stay_finite(layers, log_sd, logit):
    """In float32, with logits at +-200 and every sigma from 1e-6 to 1e3, in all densities at once."""
    model = random_model(layers=layers, dtype=torch.float32)
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    for name, value in parameters.items():
        if name.endswith("log_sd.bias"):
            value.fill_(log_sd)
    parameters["p_x_given_z1.logits.bias"].fill_(logit)
    x, noise = batch(model)
    log_w, gradient = weighted_gradient(parameters, x, noise, BOUNDS["iwae"][1])
    assert torch.isfinite(log_w).all()
    assert all(torch.isfinite(value).all() for value in gradient.values())


@pytest.mark.parametrize("layers", [1, 2])
def test_single_precision_agrees_with_double(layers):
    """On the paper's nets: float32's log weights to 1e-5 of their size, its gradient to 1e-3 of its norm."""
    model = random_model(pixels=784, layers=layers, dtype=torch.float64)
    double = {name: value.detach() for name, value in model.named_parameters()}
    single = {name: value.float() for name, value in double.items()}
    x, noise = batch(model, k=5, images=20)
    exact = weighted_gradient(double, x, noise, BOUNDS["iwae"][1])
    rounded = weighted_gradient(single, x.float(), [part.float() for part in noise], BOUNDS["iwae"][1])
    torch.testing.assert_close(rounded.log_w.double(), exact.log_w, rtol=1e-5, atol=0)
    for name, value in exact.gradient.items():
        assert (rounded.gradient[name].double() - value).norm() <= 1e-3 * value.norm(), name
