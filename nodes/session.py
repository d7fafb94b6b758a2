"""One training inside a node: progress with time left, preview pictures, cancel, resume."""

from __future__ import annotations

import shutil
from pathlib import Path

import comfy.model_management
import folder_paths
import torch
from server import PromptServer
from torch import Tensor

from ..erasure.adapter import save_adapter
from ..erasure.concepts import ConceptSpace
from ..erasure.config import EraseConfig
from ..erasure.denoiser import Denoiser
from ..erasure.errors import ErasureError
from ..erasure.pictures import to_image
from ..erasure.sampling import generate
from ..erasure.trainer import EraseTrainer, TrainResult
from .common import data_folder, stages

EVENT = "concept_erasure.training"
_KEPT_STATES = 3
_PREVIEW_STEPS = 12


class Session:
    """Trains with everything a node owes its user.

    Args:
        denoiser: inside its `with`.
        preview_every: updates between two pictures; 0 draws only the first and the last.
        node_id: which node shows the progress.
    """

    def __init__(self, denoiser: Denoiser, config: EraseConfig, space: ConceptSpace | None, preview_every: int, node_id: str | None):
        self.denoiser, self.config, self.preview_every, self.node_id = denoiser, config, preview_every, node_id
        self.bars, self.frames = stages(node_id), []
        self.trainer = EraseTrainer(denoiser, config, self._on_event, None, space)
        self.trainer.state_folder = state_folder(self.trainer.identity)

    def run(self) -> tuple[TrainResult, Tensor]:
        """(result, pictures (B, H, W, 3) of the erased concept from before to the end).

        Raises:
            InterruptProcessingException: cancelled; the adapter so far is in output/loras/unfinished, the state resumable.
        """
        if self.preview_every:
            self.frames.append(self._picture())
        try:
            result = self.trainer.run()
        except comfy.model_management.InterruptProcessingException:
            self._keep_unfinished()
            raise
        if result.stopped:
            self._keep_unfinished()
            raise ErasureError("training", result.stopped, "The state is kept: queue again to go on.")
        self.trainer.discard_state()
        with result.adapter.on(self.denoiser):
            self.frames.append(self._picture())
        return result, torch.cat(self.frames).movedim(1, -1)

    def _on_event(self, event: dict) -> None:
        if event["event"] == "prepare":
            self.bars(event["stage"])(event["done"], event["total"])
        elif event["event"] == "step":
            self._on_step(event)

    def _on_step(self, event: dict) -> None:
        done, total, preview = event["step"] + 1, event["steps"], None
        if self.preview_every and done % self.preview_every == 0 and done < total:
            self.frames.append(self._picture())
            preview = to_image(self.frames[-1][0])
        note = f"protecting {event['adversarial'][0]}" if event["adversarial"] else ""
        self._tell({"step": done, "steps": total, "left": round(event["left"], 1), **{k: event[k] for k in ("loss", "erased", "adversarial")}})
        self.bars("update")(done, total, note, preview)

    def _tell(self, facts: dict) -> None:
        PromptServer.instance.send_sync(EVENT, {"node": self.node_id, **facts})

    def _picture(self) -> Tensor:
        """(1, 3, H, W): the first erased concept as the network stands now, always from the same noise."""
        with self.denoiser.uncounted(), torch.no_grad():
            return generate(self.denoiser, [self.config.concepts[0].name], [self.config.seed], steps=_PREVIEW_STEPS,
                            guidance=self.denoiser.defaults.get("guidance", 4.0))

    def _keep_unfinished(self) -> None:
        if self.trainer.step:
            name = "".join(c if c.isalnum() else "-" for c in self.config.concepts[0].name)[:40]
            path = Path(folder_paths.get_output_directory()) / "loras" / "unfinished" / f"{name}-{self.trainer.identity[:8]}.safetensors"
            save_adapter(self.trainer.adapter(), path, notes=f"unfinished: {self.trainer.step} of {self.config.steps} updates")


def state_folder(identity: str) -> Path:
    """Where the run `identity` keeps its resumable state; only the newest few are kept."""
    root = data_folder() / "states"
    folder = root / identity[:24]
    if root.is_dir():
        others = sorted((p for p in root.iterdir() if p.is_dir() and p != folder), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in others[_KEPT_STATES - 1 :]:
            shutil.rmtree(old, ignore_errors=True)
    return folder
