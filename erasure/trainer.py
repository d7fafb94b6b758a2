"""The loop: find what is harmed, erase, preserve; resumable bit for bit, with one callback for all progress.

    min_theta max_c_a  || d_theta(c_e) - d* ||^2 + lambda || d_theta(c_a) - d_teacher(c_a) ||^2

(Bui et al. 2024, eq. 6, in sigma space.) One network: the teacher is the same network with the adapter off. Erased
and preserved samples go through the network in one call; teacher predictions come from the trajectory pool.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .adapter import ErasureAdapter, LoraNetwork, select_modules
from .checkpoint import (
    clear_state, load_optimizer_tensors, load_state, optimizer_tensors, save_state, under_prefix, with_prefix,
)
from .concepts import ConceptSpace, build_concept_space
from .config import Concept, EraseConfig
from .denoiser import Denoiser
from .errors import ErasureError
from .identity import base_facts, check_preserve, check_space, run_identity
from .latents import Request, States, TrajectoryPool
from .losses import sigma_weights, weighted_mse
from .memory import peak_memory_mb
from .preservation import PRESERVERS, Preserver, Setup
from .randomness import generator
from .recipes import find_recipe
from .targets import anchor_prompt, erased_direction
from .version import __version__

Callback = Callable[[dict], None]
_MAX_BAD_STEPS = 5  # non-finite losses in a row before giving up
_GRADIENT_CLIP = 1.0
STOPPED = "stopped by you"


@dataclass(frozen=True)
class TrainResult:
    """What training leaves: the adapter, one record per update, and a report (plain JSON types).

    `stopped` says why it ended early, or is "" when all updates were done.
    """

    adapter: ErasureAdapter
    history: list[dict]
    report: dict
    stopped: str = ""


class EraseTrainer:
    """Trains one adapter.

    Args:
        denoiser: the model; its weights are never changed.
        config: validated settings.
        callback: called with {"event": "prepare" | "resume" | "step", ...} at moments when the state is whole;
            whatever it raises ends the training, after the state is saved, and is raised on.
        state_folder: where the resumable state is kept; None keeps none. A state of the same training that
            lies there is continued.
        space: candidates encoded before; they take the place of `config.vocabulary`.

    Raises:
        ErasureError: bad settings, before any expensive work.
    """

    def __init__(self, denoiser: Denoiser, config: EraseConfig, callback: Callback | None = None, state_folder: Path | None = None,
                 space: ConceptSpace | None = None):
        self.denoiser, self.config = denoiser, config.validate()
        self.callback, self.state_folder = callback or (lambda _: None), state_folder
        select_modules(denoiser.network, config.parameters)
        self.base = base_facts(denoiser)
        check_preserve(denoiser, config)
        self.space = space
        if space is not None:
            check_space(denoiser, space)
        self.identity = run_identity(denoiser, config, space)
        self.history: list[dict] = []
        self.step, self.bad_steps, self.rate_scale, self.seconds = 0, 0, 1.0, 0.0
        self.evaluations = {"forwards": 0, "backwards": 0}
        self.stop_requested, self.checkpointing = False, config.gradient_checkpointing

    def stop(self) -> None:
        """Start no further update; `run` then returns what there is and keeps the state."""
        self.stop_requested = True

    def run(self) -> TrainResult:
        """Train to the end, to `stop`, or to a failure that leaves the last good adapter."""
        self.denoiser.gradient_checkpointing(self.config.gradient_checkpointing)
        self._counted = (self.denoiser.forwards, self.denoiser.backwards)
        begun = time.perf_counter()
        try:
            with self._new_lora() as self.lora:
                self._prepare()
                begun -= self.seconds  # of the runs before this one
                stopped = self._loop(begun)
        finally:
            self.denoiser.gradient_checkpointing(False)
        self._save()  # a finished run too: should writing the adapter fail, running again gives it at once
        return TrainResult(self.adapter(), self.history, self._report(stopped), stopped)

    def discard_state(self) -> None:
        """Remove the saved state, once the finished adapter is safely stored."""
        if self.state_folder:
            clear_state(self.state_folder)

    def _loop(self, begun: float) -> str:
        """Updates until done; returns why it ended early, or ""."""
        while self.step < self.config.steps:
            if self.stop_requested:
                return STOPPED
            failure = self._update()
            self.seconds = time.perf_counter() - begun
            self._count_evaluations()
            if self.step % self.config.checkpoint_every == 0:
                self._save()
            self._tell()
            if failure:
                return failure
        return ""

    def adapter(self) -> ErasureAdapter:
        """The adapter as it stands, with its card."""
        return ErasureAdapter.from_network(self.lora, self.denoiser, self._card())

    # --- preparation -------------------------------------------------------------------------------------------

    def _new_lora(self) -> LoraNetwork:
        c = self.config
        return LoraNetwork.create(self.denoiser, c.parameters, c.rank, c.alpha or c.rank, c.seed)

    def _prepare(self) -> None:
        """Encode every prompt once, register trajectories, sample those that will surely be needed."""
        c = self.config
        self.optimizer = torch.optim.AdamW(self.lora.parameters(), lr=c.learning_rate, weight_decay=0.0)
        with_candidates = min(c.candidates, c.centers or c.candidates)
        expected = len(c.concepts) * (c.trajectories + (0 if c.preservation == "none" else with_candidates))
        self.pool = TrajectoryPool(self.denoiser, self.denoiser.encode([""]), c.guidance, c.seed, c.pool_memory_mb, expected)
        self.erase_keys = [self._register(i, concept) for i, concept in enumerate(c.concepts)]
        self.preservers = self._preservers()
        if not self._resume():
            wanted = [k for keys in self.erase_keys for k in keys] + [k for p in self.preservers if p for k in p.prefill()]
            self.pool.ensure(wanted, self.lora, self._preparing("sampling trajectories"))
            self._save()  # the pool is the dearest part of a short run

    def _register(self, index: int, concept: Concept) -> list[str]:
        """One request per trajectory of the concept: templates in turn, each with its own noise."""
        c, requests = self.config, []
        prompts = [t.replace("{}", concept.name) for t in c.templates]
        anchors = [anchor_prompt(t, concept.target) for t in c.templates]
        conds, anchor_conds = self.denoiser.encode(prompts), self.denoiser.encode(anchors)
        for i in range(max(c.trajectories, len(prompts))):
            k = i % len(prompts)
            anchor = anchor_conds[k] if anchors[k] else None
            requests.append(Request(f"erase-{index}/{i}/{prompts[k]}", concept.name, conds[k], c.trajectory_steps, anchor))
        self.pool.register(requests)
        return [r.key for r in requests]

    def _preservers(self) -> list[Preserver | None]:
        """One preserver per erased concept, each over the candidates nearest to its own."""
        c, kind = self.config, PRESERVERS[self.config.preservation]
        if kind is None:
            return [None] * len(c.concepts)
        exclude = [word for concept in c.concepts for word in concept.exclude]
        everything = self.space or build_concept_space(self.denoiser, c.vocabulary, progress=self._preparing("encoding concepts"))
        everything = everything.without(self.denoiser, [x.name for x in c.concepts], exclude)
        found: list[Preserver | None] = []
        for index, concept in enumerate(c.concepts):
            space = everything.nearest(self.denoiser.encode([concept.name]), c.candidates, c.similarity)
            space = space.thinned(c.centers) if c.centers else space
            found.append(kind(Setup(self.denoiser, self.lora, self.pool, space, c, self.erase_keys[index], index)))
        return found

    def _preparing(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self.callback({"event": "prepare", "stage": stage, "done": done, "total": total})

    # --- one update --------------------------------------------------------------------------------------------

    def _update(self) -> str:
        """One search and one weight update; returns why training must stop, or ""."""
        c, step = self.config, self.step
        erased = self._erase_states(step)
        preserver = self.preservers[step % len(c.concepts)]
        if preserver:
            preserver.search(step)
        kept = preserver.states(step, c.preserve_batch) if preserver else None
        stopped, loss, loss_erase, loss_keep, untouched = self._learn(erased, kept)
        self.history.append({
            "step": step, "loss": _number(loss), "erase": _number(loss_erase), "preserve": _number(loss_keep),
            "erased": _number(1 - loss_erase / untouched), "adversarial": list(kept.words) if kept else [],
        })
        self.step += 1
        return stopped

    def _learn(self, erased: States, kept: States | None) -> tuple[str, Tensor, Tensor, Tensor, Tensor]:
        """Losses and one step of the weights; when memory runs out, once more with gradient checkpointing.

        Raises:
            ErasureError: even that does not fit.
        """
        try:
            return self._attempt(erased, kept)
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in str(error):  # as MPS says it
                raise
            if self.checkpointing:
                remedy = "Lower batch_size and preserve_batch (in ComfyUI also training_side), or close other programs."
                raise ErasureError("memory", "one update does not fit into the GPU memory, not even with gradient checkpointing", remedy) from error
        self.checkpointing = True
        self.optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        self.denoiser.gradient_checkpointing(True)
        return self._learn(erased, kept)

    def _attempt(self, erased: States, kept: States | None) -> tuple[str, Tensor, Tensor, Tensor, Tensor]:
        """`_learn` once; a frame of its own, so that what a failure leaves in memory goes with it."""
        loss_erase, loss_keep, untouched = self._losses(erased, kept)
        loss = loss_erase + self.config.preserve_strength * loss_keep
        stopped = self._descend(loss, len(erased.sigma) + (len(kept.sigma) if kept else 0))
        return stopped, loss, loss_erase, loss_keep, untouched

    def _erase_states(self, step: int) -> States:
        """A batch stratified over the concepts: sample i belongs to concept (step * B + i) mod n."""
        c, parts = self.config, []
        for i in range(c.batch_size):
            keys = self.erase_keys[(step * c.batch_size + i) % len(self.erase_keys)]
            gen = generator(c.seed, step, f"erase-{i}")
            key = keys[int(torch.randint(len(keys), (1,), generator=gen))]
            if c.refresh and float(torch.rand((), generator=gen)) < c.refresh:
                self.pool.renew(key, self.lora, step + 1)
            parts.append(self.pool.draw(key, gen))
        return States.cat(parts)

    def _losses(self, erased: States, kept: States | None) -> tuple[Tensor, Tensor, Tensor]:
        """(erase loss, preservation loss, erase loss of the untouched model) from one network call over both batches."""
        c, denoiser = self.config, self.denoiser
        batch = States.cat([erased, kept]) if kept else erased
        d = denoiser.direction(batch.x, batch.sigma, batch.cond)
        target = erased_direction(erased.d_cond, erased.d_anchor, c.negative_guidance)
        weights = sigma_weights(batch.sigma, c.weighting, denoiser)
        n = len(erased.sigma)
        loss_erase = weighted_mse(d[:n], target, weights[:n])
        loss_keep = weighted_mse(d[n:], kept.d_cond, weights[n:]) if kept else torch.zeros((), device=d.device)
        return loss_erase, loss_keep, weighted_mse(erased.d_cond, target, weights[:n])

    def _descend(self, loss: Tensor, samples: int) -> str:
        """Backward and optimiser step; a non-finite loss or gradient is skipped at half the rate, and ends the run if it persists."""
        parameters = list(self.lora.parameters())
        self.optimizer.zero_grad(set_to_none=True)
        norm = torch.tensor(float("nan"))
        if torch.isfinite(loss):
            (loss * self.denoiser.gradient_scale).backward()
            self.denoiser.backwards += samples
            if cut := sum(p.grad is None for p in parameters):
                raise ErasureError("model", f"no gradient reaches {cut} of {len(parameters)} LoRA weights", "Switch off kernels that can only predict: start ComfyUI without --use-sage-attention and --fast.")
            for p in parameters:
                p.grad /= self.denoiser.gradient_scale
            norm = torch.nn.utils.clip_grad_norm_(parameters, _GRADIENT_CLIP)
        if torch.isfinite(norm):
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.learning_rate * self.rate_scale * _schedule(self.step, self.config.steps)
            self.optimizer.step()
            self.bad_steps = 0
            return ""
        self.bad_steps, self.rate_scale = self.bad_steps + 1, self.rate_scale / 2
        if self.bad_steps >= _MAX_BAD_STEPS:
            return f"the loss was not finite {_MAX_BAD_STEPS} times in a row; the last good adapter is kept. Lower learning_rate, or use float32"
        return ""

    # --- state and reports -------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Tell the callback; the state is whole here, so whatever it raises loses nothing."""
        left = self.seconds / self.step * (self.config.steps - self.step)
        try:
            self.callback({"event": "step", "steps": self.config.steps, "seconds": self.seconds, "left": left, **self.history[-1]})
        except BaseException:
            self._save()
            raise

    def _save(self) -> None:
        if self.state_folder is None:
            return
        tensors = with_prefix("lora.", self.lora.state_dict()) | with_prefix("optimizer.", optimizer_tensors(self.optimizer))
        for i, preserver in enumerate(self.preservers):
            if preserver:
                tensors |= with_prefix(f"preserver.{i}.", preserver.tensors())
        facts = {name: getattr(self, name) for name in _FACTS} | {"identity": self.identity}
        save_state(self.state_folder, tensors, facts, self.pool)

    def _resume(self) -> bool:
        """Continue a saved state of this very run, if there is one."""
        state = load_state(self.state_folder, self.identity) if self.state_folder else None
        if state is None:
            return False
        self.lora.load_state_dict(under_prefix("lora.", state.tensors))
        load_optimizer_tensors(self.optimizer, under_prefix("optimizer.", state.tensors))
        for i, preserver in enumerate(self.preservers):
            if preserver:
                preserver.load_tensors(under_prefix(f"preserver.{i}.", state.tensors))
        self.pool.restore(state.trajectories)
        for name in _FACTS:
            setattr(self, name, state.facts[name])
        self.callback({"event": "resume", "step": self.step, "steps": self.config.steps})
        return True

    def _count_evaluations(self) -> None:
        now = (self.denoiser.forwards, self.denoiser.backwards)
        for name, before, after in zip(self.evaluations, self._counted, now):
            self.evaluations[name] += after - before
        self._counted = now

    def _card(self) -> dict:
        """What the file says of itself; a function of configuration, base and seed, so that equal runs give equal bytes."""
        c, recipe = self.config, find_recipe(self.config.recipe)
        found = Counter(w for record in self.history for w in record["adversarial"])
        return {
            "tool": "concept-erasure", "version": __version__, "recipe": recipe.name, "source": recipe.source,
            "concepts": [{"name": x.name, "target": x.target} for x in c.concepts],
            "preserved": [word for word, _ in sorted(found.items(), key=lambda item: (-item[1], item[0]))[:20]],
            "config": c.identity(), "steps_done": self.step, "base": self.base, "scores": {},
        }

    def _report(self, stopped: str) -> dict:
        """Cost and course of the run, for the JSON beside the adapter; an evaluation's backward counts as two forwards."""
        self._count_evaluations()
        spent = self.evaluations["forwards"] + 2 * self.evaluations["backwards"]
        return {
            **self._card(), "stopped": stopped, "network_evaluations": self.evaluations,
            "forward_equivalents_per_update": round(spent / max(1, self.step), 2), "seconds": round(self.seconds, 2),
            "peak_memory_mb": peak_memory_mb(self.denoiser.device), "device": str(self.denoiser.device), "history": self.history,
        }


_FACTS = ("step", "bad_steps", "rate_scale", "history", "seconds", "evaluations")


def _schedule(step: int, steps: int) -> float:
    """Learning-rate factor: linear warm-up over 5 % of the updates, then a cosine down to a tenth."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _number(value: Tensor) -> float | None:
    """A float that JSON can hold, or None."""
    number = float(value.detach())
    return round(number, 8) if math.isfinite(number) else None
