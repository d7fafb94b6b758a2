"""The host translates without changing anything: same pictures as diffusers, exact algebra in sigma space."""

import pytest
import torch
from tiny_models import random_pipeline, random_text_encoder, random_unet, random_vae, tokenizer

from erasure.denoiser import Cond
from erasure.errors import ErasureError
from erasure.hosts.diffusers import DiffusersDenoiser
from erasure.randomness import generator, noise
from erasure.sampling import ddim_sigmas, generate


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_sampling_equals_diffusers(prediction_type):
    pipeline = random_pipeline(prediction_type)
    ours = generate(DiffusersDenoiser(pipeline), ["a bus", "a cat"], [3, 4], steps=10, guidance=4.0)
    latents = torch.stack([noise((4, 8, 8), seed, 0, "image") for seed in (3, 4)])
    theirs = pipeline(["a bus", "a cat"], latents=latents, num_inference_steps=10, guidance_scale=4.0, output_type="pt").images
    assert (ours - theirs).abs().max() < 2e-4


def test_timesteps_on_the_table_are_exact(tiny):
    table = tiny.sigmas
    assert torch.equal(tiny._timestep(table), torch.arange(1000.0))


def test_direction_is_the_noise_prediction(tiny):
    x, sigma, cond = torch.randn(3, 4, 8, 8), tiny.sigmas[[10, 400, 900]], tiny.encode(["a bus", "a cat", ""])
    scale = (sigma.square() + 1).rsqrt().view(-1, 1, 1, 1)
    eps = tiny.network(x * scale, torch.tensor([10.0, 400, 900]), cond.tensors["context"]).sample
    assert torch.allclose(tiny.direction(x, sigma, cond), eps, atol=2e-4)


def test_sdxl_gets_pooled_and_size_conditions():
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline

    tokens = tokenizer()
    unet = random_unet(64, addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=32 + 6 * 8,
                       transformer_layers_per_block=(1, 1))
    pipeline = StableDiffusionXLPipeline(
        vae=random_vae(), text_encoder=random_text_encoder(tokens), text_encoder_2=random_text_encoder(tokens, kind="CLIPTextModelWithProjection", projection_dim=32),
        tokenizer=tokens, tokenizer_2=tokens, unet=unet, scheduler=DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, set_alpha_to_one=True, steps_offset=1),
    )
    pipeline.set_progress_bar_config(disable=True)
    denoiser = DiffusersDenoiser(pipeline)
    assert denoiser.base_version == "sdxl_1.0" and set(denoiser.encode(["a bus"]).tensors) == {"context", "pooled"}
    ours = generate(denoiser, ["a bus"], [0], steps=5, guidance=1.0)
    latents = noise((4, 8, 8), 0, 0, "image")[None]
    theirs = pipeline("a bus", latents=latents, num_inference_steps=5, guidance_scale=1.0, output_type="pt", height=16, width=16, original_size=(16, 16), target_size=(16, 16)).images
    assert (ours - theirs).abs().max() < 2e-4


def test_the_same_seed_starts_from_the_same_noise_whatever_the_batch(tiny):
    together = generate(tiny, ["a bus", "a cat"], [1, 2], steps=4)
    alone = generate(tiny, ["a cat"], [2], steps=4)
    assert torch.allclose(together[1], alone[0], atol=1e-4)


def test_mixing_conditions_is_linear_and_one_hot_picks_a_row(tiny):
    cond = tiny.encode(["a bus", "a cat", "a dog"])
    assert torch.equal(cond.mix(torch.tensor([[0.0, 1.0, 0.0]])).tensors["context"], cond[1].tensors["context"])
    half = cond.mix(torch.tensor([[0.5, 0.5, 0.0]])).tensors["context"][0]
    assert torch.allclose(half, cond.tensors["context"][:2].mean(0), atol=1e-6)


def test_a_cond_joins_and_repeats_every_tensor():
    cond = Cond({"context": torch.arange(6.0).view(3, 2, 1), "pooled": torch.arange(3.0).view(3, 1)})
    assert len(Cond.cat([cond[0], cond[1:]])) == 3 and cond[2].expand(4).tensors["pooled"].tolist() == [[2.0]] * 4


def test_fingerprint_ignores_dtype_and_notices_training(tiny):
    before = tiny.fingerprint()
    tiny.network.half()
    assert max(abs(v / before[k] - 1) for k, v in tiny.fingerprint().items()) < 1e-4
    tiny.network.float()
    with torch.no_grad():
        for p in tiny.network.parameters():
            p.mul_(1.001)
    assert max(abs(v / before[k] - 1) for k, v in tiny.fingerprint().items()) > 5e-4


def test_randomness_depends_on_seed_step_and_purpose_only():
    draw = lambda *key: torch.randn(4, generator=generator(*key)).tolist()
    assert draw(1, 2, "a") == draw(1, 2, "a")
    assert len({tuple(draw(*k)) for k in [(1, 2, "a"), (2, 2, "a"), (1, 3, "a"), (1, 2, "b")]}) == 4


def test_ddim_sigmas_descend_to_zero(tiny):
    sigmas = ddim_sigmas(tiny.sigmas, 20)
    assert len(sigmas) == 21 and sigmas[-1] == 0 and (sigmas.diff() < 0).all()


def test_a_pipeline_without_unet_is_refused():
    with pytest.raises(ErasureError, match="UNet"):
        DiffusersDenoiser(object())


def test_a_zero_terminal_snr_schedule_has_finite_noise_levels():
    from diffusers import DDIMScheduler

    pipeline = random_pipeline("v_prediction")
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, rescale_betas_zero_snr=True)
    denoiser = DiffusersDenoiser(pipeline)
    assert torch.isfinite(denoiser.sigmas).all() and torch.isfinite(generate(denoiser, ["a bus"], [0], steps=4)).all()
