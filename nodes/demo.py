"""LoadErasureDemo: the embedded model as an ordinary triple."""

from comfy_api.latest import io

from ..erasure.hosts.comfy_demo import load_demo_triple
from .common import CATEGORY


class LoadErasureDemo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LoadErasureDemo",
            display_name="Load Erasure Demo Model",
            category=CATEGORY,
            description="A tiny text-to-image model that ships with this pack (128 x 128 pixels, emoji in seven styles). All examples but one run with it, nothing is downloaded.",
            inputs=[],
            outputs=[
                io.Model.Output(tooltip="The network. Use it like any checkpoint's MODEL, with 128 x 128 latents."),
                io.Clip.Output(tooltip="Its text encoder; it knows its own concepts best ('a fuel pump', 'a cat in ink style')."),
                io.Vae.Output(tooltip="Its autoencoder."),
            ],
        )

    @classmethod
    def execute(cls):
        return io.NodeOutput(*load_demo_triple())
