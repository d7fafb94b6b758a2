"""The pool's samples are exactly aligned, and its teacher predictions are the teacher's."""

import pytest
import torch
from test_adapter import make

from erasure.errors import ErasureError
from erasure.latents import Request, TrajectoryPool, load_trajectory
from erasure.losses import sigma_weights, weighted_mse
from erasure.randomness import generator
from erasure.targets import anchor_prompt, erased_direction


def pool_of(denoiser, anchor=None, memory_mb=64, expected=3):
    pool = TrajectoryPool(denoiser, denoiser.encode([""]), 3.0, 0, memory_mb, expected)
    cond = denoiser.encode(["a bus", "a cat", "a dog"])
    pool.register([Request(w, w, cond[i], 5, anchor if w == "cat" else None) for i, w in enumerate(("bus", "cat", "dog"))])
    return pool


@pytest.mark.parametrize("renewed", [False, True])
def test_cached_predictions_are_the_teachers_at_exactly_this_state(tiny, renewed):
    anchor = tiny.encode(["a tree"])
    pool = pool_of(tiny, anchor)
    with make(tiny) as lora:
        pool.ensure(["bus", "cat"], lora)
        if renewed:
            pool.renew("cat", lora, 7)
        for key, other in (("bus", tiny.encode([""])), ("cat", anchor)):
            for i in range(5):
                s = pool.draw(key, generator(0, i, "x"))
                with lora.at_strength(0):
                    assert torch.allclose(tiny.directions(s.x, s.sigma, s.cond), s.d_cond, atol=1e-4)
                    assert torch.allclose(tiny.directions(s.x, s.sigma, other), s.d_anchor, atol=1e-4)


def test_a_frozen_pool_is_sampled_with_the_adapter_off(tiny):
    plain, edited = pool_of(tiny), pool_of(tiny)
    lora = make(tiny)
    plain.ensure(["bus"], lora)
    with lora:
        edited.ensure(["bus"], lora)
        assert all(torch.equal(plain.held["bus"].tensors[k], edited.held["bus"].tensors[k]) for k in plain.held["bus"].tensors)
        edited.renew("bus", lora, 1)
        assert not torch.equal(plain.held["bus"].tensors["x"], edited.held["bus"].tensors["x"])


def test_guidance_pays_for_the_teacher(tiny):
    pool = pool_of(tiny)
    before = tiny.forwards
    pool.ensure(["bus", "dog"], make(tiny))
    assert tiny.forwards - before == 2 * 2 * 5  # two trajectories, five states, conditional and not
    pool.ensure(["bus", "dog"], make(tiny))
    assert tiny.forwards - before == 20


def test_memory_budget_keeps_fewer_states_or_refuses(tiny):
    per_state = 3 * 4 * 4 * 8 * 8
    pool = pool_of(tiny, memory_mb=1, expected=(1 << 20) // (3 * per_state))
    pool.ensure(["bus"], make(tiny))
    assert len(pool.held["bus"].tensors["sigma"]) == 3
    kept = [sorted(pool._kept(str(i), 20, 0)) for i in range(200)]
    assert all(len(k) == 3 and k[0] < 6 <= k[1] < 13 <= k[2] for k in kept) and {i for k in kept for i in k} == set(range(20))  # every noise level has its chance
    with pytest.raises(ErasureError, match="pool_memory_mb.*at least"):
        pool_of(tiny, memory_mb=1, expected=10_000)


def test_saved_trajectories_come_back(tiny, tmp_path):
    pool, other = pool_of(tiny), pool_of(tiny)
    pool.ensure(["bus", "dog"], make(tiny))
    index = pool.save(tmp_path)
    other.restore([(key, version, load_trajectory(tmp_path, name)) for key, version, name in index])
    assert all(torch.equal(pool.held[k].tensors[n], other.held[k].tensors[n]) for k in ("bus", "dog") for n in ("x", "sigma", "d_cond", "d_anchor"))


def test_targets():
    d_e, d_0 = torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), 1.0)
    assert erased_direction(d_e, d_0, 1.0).item() == 2 * 1.0 - 3.0  # ESD: 2 d(0) - d(c)
    assert erased_direction(d_e, d_0, 0.0).item() == 1.0


@pytest.mark.parametrize("template, target, anchor", [
    ("{}", "", ""), ("a photo of a {}", "tree", "a photo of a tree"), ("a {} in ink style", "", "ink style"),
    ("a dog in {}", "", "a dog"), ("a photo of a {} on a white background", "", "a photo on a white background"),
])
def test_an_anchor_keeps_the_context_of_a_template(template, target, anchor):
    assert anchor_prompt(template, target) == anchor


def test_weightings_average_to_one_and_x0_reproduces_the_x0_loss(tiny):
    table = tiny.sigmas
    for weighting in ("uniform", "min-snr", "x0"):
        assert abs(float(sigma_weights(table, weighting, tiny).mean()) - 1) < 1e-5
    x, sigma = torch.randn(4, 4, 8, 8), table[[50, 300, 600, 950]]
    d, target = torch.randn_like(x), torch.randn_like(x)
    s = sigma.view(-1, 1, 1, 1)
    x0_loss = ((x - s * d) - (x - s * target)).square().mean()
    ours = weighted_mse(d, target, sigma_weights(sigma, "x0", tiny)) * table.square().mean()
    assert torch.allclose(ours, x0_loss, rtol=1e-4)


def test_losses_have_correct_gradients():
    d = torch.randn(2, 1, 2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: weighted_mse(v, torch.zeros_like(v), torch.tensor([1.0, 2.0], dtype=torch.double)), d)
