"""Through ComfyUI itself: every architecture trains, and what comes out is what the stock loader loads."""

import pytest
from real_server import in_process


@pytest.fixture(scope="module")
def found(comfy_tree):
    return in_process(comfy_tree, "architectures.py")


@pytest.mark.parametrize("name, family, prefix", [
    ("sd15", "stable-diffusion-v1", "lora_unet_down_blocks_"), ("sd2-v", "stable-diffusion-v2-768-v", "lora_unet_down_blocks_"),
    ("sdxl", "stable-diffusion-xl-v1-base", "lora_unet_down_blocks_"), ("sd3", "stable-diffusion-3-m", "lora_unet_joint_blocks_"), ("flux", "flux-1-dev", "lora_unet_double_blocks_"),
])
def test_an_architecture_is_erased_and_left_as_it_was(found, name, family, prefix):
    facts = found[name]
    assert facts["architecture"] == family and facts["names"][0].startswith(prefix)
    assert facts["off"] == 0 and facts["hooks"] == 0
    assert facts["patched"] == facts["layers"] > 0
    assert facts["effect"] > 100 * facts["difference"] and facts["difference"] < 1e-4
    assert facts["last"] < 0.8 * facts["first"]


def test_the_node_and_the_command_line_are_one_engine(comfy_tree):
    facts = in_process(comfy_tree, "one_engine.py")
    assert facts["same_layers"] and facts["same_base"] and facts["misfit"] is None
    assert facts["difference"] < 1e-4 < facts["effect"]
    assert facts["repeatable"] and facts["hooks"] == 0 and facts["left"] == 0
