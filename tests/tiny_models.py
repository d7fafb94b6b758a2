"""Random weights in the layouts of Stable Diffusion, milliseconds per call."""

from __future__ import annotations

import torch


def random_unet(cross_attention_dim: int = 32, **extra):
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=cross_attention_dim, attention_head_dim=2, norm_num_groups=32, **extra,
    ).eval()


def random_text_encoder(tokenizer, hidden: int = 32, kind: str = "CLIPTextModel", **extra):
    import transformers

    torch.manual_seed(1)
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, **extra,
    )
    return getattr(transformers, kind)(config).eval()


def random_vae():
    from diffusers import AutoencoderKL

    torch.manual_seed(2)
    blocks = 2
    return AutoencoderKL(
        block_out_channels=(32,) * blocks, down_block_types=("DownEncoderBlock2D",) * blocks, up_block_types=("UpDecoderBlock2D",) * blocks,
        latent_channels=4, norm_num_groups=32,
    ).eval()


def tokenizer():
    from transformers import CLIPTokenizer

    from erasure.hosts.demo import MODEL

    return CLIPTokenizer.from_pretrained(MODEL / "tokenizer")


def random_pipeline(prediction_type: str = "epsilon"):
    """A StableDiffusionPipeline of random weights, 8x8 latents."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    tokens = tokenizer()
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=True,
                              steps_offset=1, prediction_type=prediction_type)
    pipeline = StableDiffusionPipeline(
        vae=random_vae(), text_encoder=random_text_encoder(tokens), tokenizer=tokens, unet=random_unet(), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
