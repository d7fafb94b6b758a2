"""One training inside a node: progress with time left, preview pictures, cancel, resume."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import comfy.model_management
import folder_paths
import torch
from torch import Tensor

from ..erasure.adapter import LoraNetwork, save_adapter
from ..erasure.concepts import ConceptSpace
from ..erasure.config import EraseConfig
from ..erasure.denoiser import Denoiser
from ..erasure.errors import ErasureError
from ..erasure.pictures import to_image
from ..erasure.sampling import generate
from ..erasure.trainer import STOPPED, EraseTrainer, TrainResult
from . import live
from .common import data_folder, stages

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
        facts = {"concepts": [{"name": c.name, "target": c.target} for c in config.concepts], "recipe": config.recipe, "protected": list(config.preserve)}
        self.live = live.begin(node_id, facts | {"steps": config.steps}, self.trainer.stop)
        self._ranked: dict[int, Tensor] = {}
        self._untouched: set[str] = set()

    def run(self) -> tuple[TrainResult, Tensor]:
        """(result, pictures (B, H, W, 3) of the erased concept from before to the end).

        Raises:
            InterruptProcessingException: cancelled; the adapter so far is in output/loras/unfinished, the state resumable.
        """
        try:
            result = self._train()
        except comfy.model_management.InterruptProcessingException:
            self._keep_unfinished()
            self.live.end("cancelled", "cancelled; queue again to go on")
            raise
        except BaseException as error:
            self.live.end("failed", str(error))
            raise
        self.live.end("stopped" if result.stopped else "finished")
        return result, torch.cat(self.frames).movedim(1, -1)

    def _train(self) -> TrainResult:
        """Train between the first picture and the last; an end the user asked for keeps what was learned."""
        if self.preview_every:
            self._draw(0, None)
        result = self.trainer.run()
        if result.stopped and (result.stopped != STOPPED or not self.trainer.step):
            self._keep_unfinished()
            raise ErasureError("training", result.stopped, "The state is kept: queue again to go on.")
        if not result.stopped:
            self.trainer.discard_state()
        with result.adapter.on(self.denoiser) as lora:
            self._draw(self.trainer.step, lora)
        return result

    def _on_event(self, event: dict) -> None:
        if event["event"] == "prepare":
            self.bars(event["stage"])(event["done"], event["total"])
            self.live.prepare(event["stage"], event["done"], event["total"])
        elif event["event"] == "resume":
            self.live.resume(self.trainer.history)
        elif event["event"] == "step":
            self._on_step(event)

    def _on_step(self, event: dict) -> None:
        done, total, preview = event["step"] + 1, event["steps"], None
        self._tell_found(event)
        self.live.step(event)
        if self.preview_every and done % self.preview_every == 0 and done < total:
            self._draw(done, self.trainer.lora)
            preview = to_image(self.frames[-1][0])
        note = f"protecting {event['adversarial'][0]}" if event["adversarial"] else ""
        self.bars("update")(done, total, note, preview)

    def _tell_found(self, event: dict) -> None:
        """Pass on a new ranking of the concepts, or which ones were chosen where nothing is ranked."""
        turn = event["step"] % len(self.config.concepts)
        preserver = self.trainer.preservers[turn]
        harm = getattr(preserver, "harm", None)
        if harm is None:
            self.live.found(event["step"] + 1, [(word, None) for word in dict.fromkeys(event["adversarial"])])
        elif harm is not self._ranked.get(turn):
            self._ranked[turn] = harm
            if not bool((harm == 1).all()):  # so it is before the first search
                self.live.found(event["step"] + 1, [(preserver.words[row], float(harm[row])) for row in preserver.top()[:6]])

    def _kept_word(self) -> str:
        """What to draw beside the erased concept: the one found most harmed, else the first protected one."""
        for turn, preserver in enumerate(getattr(self.trainer, "preservers", ())):
            if turn in self._ranked and not bool((self._ranked[turn] == 1).all()):
                return preserver.words[preserver.top()[0]]
        chosen = [w for record in self.trainer.history[-1:] for w in record["adversarial"] if not w.startswith("(")]
        return next(iter((*self.config.preserve, *chosen)), "")

    def _draw(self, step: int, lora: LoraNetwork | None) -> None:
        """Pictures of this moment: the erased concept, and a kept one now and untouched."""
        word, kept, before = self._kept_word(), None, None
        self.frames.append(self._picture(self.config.concepts[0].name))
        if word:
            kept = to_image(self._picture(word)[0])
        if word and word not in self._untouched:
            self._untouched.add(word)
            with lora.at_strength(0) if lora else nullcontext():
                before = to_image(self._picture(word)[0]) if lora else kept
        self.live.frame(step, to_image(self.frames[-1][0]), kept, before, word)

    def _picture(self, prompt: str) -> Tensor:
        """(1, 3, H, W): the prompt as the network stands now, always from the same noise."""
        with self.denoiser.uncounted(), torch.no_grad():
            return generate(self.denoiser, [prompt], [self.config.seed], steps=_PREVIEW_STEPS,
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
