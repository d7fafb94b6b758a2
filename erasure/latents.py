"""The trajectory pool: aligned (x_t, sigma) sampled once, with the teacher's predictions that sampling gave anyway.

80 to 93 % of the compute of ESD, LECO and adversarial preservation goes into re-sampling x_t for every update.
Here each of the S states of a guided trajectory is a training sample; classifier-free guidance has already
predicted d(c) and d(0) there, so a frozen pool needs no further teacher call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from .adapter.lora import LoraNetwork
from .denoiser import Cond, Denoiser
from .errors import ErasureError
from .files import write_safetensors
from .randomness import generator, noise
from .sampling import ddim_sigmas, trajectory

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class States:
    """B aligned training samples on the network's device.

    x (B, C, H, W), sigma (B,), cond B rows; d_cond and d_anchor (B, C, H, W) are the teacher's predictions
    for cond and for its anchor (the empty prompt unless a request named another); words name the samples.
    """

    x: Tensor
    sigma: Tensor
    cond: Cond
    d_cond: Tensor
    d_anchor: Tensor
    words: tuple[str, ...] = ()

    @staticmethod
    def cat(parts: Sequence[States]) -> States:
        return States(
            torch.cat([p.x for p in parts]), torch.cat([p.sigma for p in parts]), Cond.cat([p.cond for p in parts]),
            torch.cat([p.d_cond for p in parts]), torch.cat([p.d_anchor for p in parts]), tuple(w for p in parts for w in p.words),
        )


@dataclass(frozen=True)
class Request:
    """A trajectory somebody will want: its prompt (one cond row), what to compare it with, and how many steps."""

    key: str
    word: str
    cond: Cond
    steps: int
    anchor: Cond | None = None


@dataclass
class _Trajectory:
    tensors: Mapping[str, Tensor]  # x, d_cond, d_anchor (S, C, H, W) and sigma (S,), float32 on the CPU
    version: int = 0


@dataclass
class TrajectoryPool:
    """Trajectories by request key, rolled out on demand, kept within a memory budget, savable piece by piece.

    Args:
        expected: how many trajectories will be held, to share the memory budget.
    """

    denoiser: Denoiser
    uncond: Cond
    guidance: float
    seed: int
    memory_mb: int
    expected: int
    requests: dict[str, Request] = field(default_factory=dict)
    held: dict[str, _Trajectory] = field(default_factory=dict)

    def __post_init__(self):
        c, h, w = self.denoiser.latent_shape
        per_trajectory = self.memory_mb * 2**20 // max(1, self.expected)
        self.keep = per_trajectory // (3 * 4 * c * h * w)
        if self.keep < 1:
            need = 3 * 4 * c * h * w * self.expected / 2**20
            raise ErasureError("pool_memory_mb", f"{self.memory_mb} MiB cannot hold {self.expected} trajectories", f"Allow at least {need:.0f} MiB, or use fewer trajectories or candidates.")

    def register(self, requests: Sequence[Request]) -> None:
        """Make requests known; nothing is sampled until `ensure` or `draw`."""
        self.requests |= {r.key: r for r in requests}

    def ensure(self, keys: Sequence[str], lora: LoraNetwork, progress: Progress | None = None) -> None:
        """Roll out what is missing, with the adapter off, many trajectories per network call.

        Args:
            progress: called with (states done, states in all); may raise to cancel.
        """
        missing = [k for k in dict.fromkeys(keys) if k not in self.held]
        by_steps: dict[int, list[str]] = {}
        for key in missing:
            by_steps.setdefault(self.requests[key].steps, []).append(key)
        chunk, done, total = max(1, self.denoiser.max_batch // 2), 0, sum(self.requests[k].steps for k in missing)
        with lora.at_strength(0):
            for keys_of in by_steps.values():
                for i in range(0, len(keys_of), chunk):
                    part = keys_of[i : i + chunk]
                    for _ in self._roll_out(part, version=0):
                        done += len(part)
                        if progress:
                            progress(done, total)

    def renew(self, key: str, lora: LoraNetwork, version: int) -> None:
        """Replace a trajectory by one sampled with the adapter on; the teacher then predicts on its states."""
        for _ in self._roll_out([key], version, lora):
            pass

    def draw(self, key: str, gen: torch.Generator) -> States:
        """One state of the trajectory `key`, uniformly over its noise levels."""
        request, t = self.requests[key], self.held[key].tensors
        i = int(torch.randint(len(t["sigma"]), (1,), generator=gen))
        device = self.denoiser.device
        rows = {name: t[name][i : i + 1].to(device) for name in t}
        return States(rows["x"], rows["sigma"], request.cond, rows["d_cond"], rows["d_anchor"], (request.word,))

    def _roll_out(self, keys: list[str], version: int, student: LoraNetwork | None = None) -> Iterator[None]:
        """Sample trajectories together and hold them; yields after each state."""
        requests = [self.requests[k] for k in keys]
        cond, steps, device = Cond.cat([r.cond for r in requests]), requests[0].steps, self.denoiser.device
        sigmas = torch.stack([self._levels(k, steps, version) for k in keys], 1).to(device)
        unit = torch.stack([noise(self.denoiser.latent_shape, self.seed, version, f"pool/{k}") for k in keys])
        x = self.denoiser.start_latents(unit.to(device), sigmas[0])
        kept, states = [self._kept(k, steps, version) for k in keys], [[] for _ in keys]
        for i, (x_t, sigma, d_cond, d_uncond) in enumerate(trajectory(self.denoiser, x, sigmas, cond, self.uncond, self.guidance)):
            rows = [row for row in range(len(keys)) if i in kept[row]]
            if rows:
                found = self._with_teacher([requests[r] for r in rows], x_t[rows], sigma[rows], cond[rows], d_cond[rows], d_uncond[rows], student)
                for place, row in enumerate(rows):
                    states[row].append({name: t[place] for name, t in found.items()})
            if i < steps:
                yield
        for key, mine in zip(keys, states):
            self.held[key] = _Trajectory({n: torch.stack([s[n] for s in mine]).float().cpu() for n in mine[0]}, version)

    def _with_teacher(self, requests, x, sigma, cond, d_cond, d_uncond, student) -> dict[str, Tensor]:
        """One state with the teacher's d(c) and d(anchor): guidance gave both unless the adapter was on or the anchor has a prompt."""
        with student.at_strength(0) if student else nullcontext():
            if student:
                d_cond, d_uncond = self.denoiser.directions(
                    torch.cat([x, x]), torch.cat([sigma, sigma]), Cond.cat([cond, self.uncond.expand(len(x))])
                ).chunk(2)
            d_anchor = d_uncond.clone()
            rows = [i for i, r in enumerate(requests) if r.anchor is not None]
            if rows:
                d_anchor[rows] = self.denoiser.directions(x[rows], sigma[rows], Cond.cat([requests[i].anchor for i in rows]))
        return {"x": x, "sigma": sigma, "d_cond": d_cond, "d_anchor": d_anchor}

    def _kept(self, key: str, steps: int, version: int) -> set[int]:
        """The steps whose states are kept: all, or as many as the memory allows, one at random out of each equal stretch."""
        if self.keep >= steps:
            return set(range(steps))
        gen, bounds = generator(self.seed, version, f"kept/{key}"), [k * steps // self.keep for k in range(self.keep + 1)]
        return {int(torch.randint(low, high, (1,), generator=gen)) for low, high in zip(bounds, bounds[1:])}

    def _levels(self, key: str, steps: int, version: int) -> Tensor:
        """(steps + 1,) noise levels; the grid is shifted at random so that the pool covers every level."""
        stride = len(self.denoiser.sigmas) // steps
        offset = int(torch.randint(stride, (1,), generator=generator(self.seed, version, f"levels/{key}")))
        return ddim_sigmas(self.denoiser.sigmas, steps, offset)

    def save(self, folder: Path) -> list[list]:
        """Write trajectories not yet in `folder`; returns [key, version, file name] of all that are held."""
        index = []
        for key, t in self.held.items():
            path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}-{t.version}.safetensors"
            if not path.is_file():
                write_safetensors(path, t.tensors, {"key": json.dumps(key)})
            index.append([key, t.version, path.name])
        return index

    def restore(self, trajectories: Sequence[tuple[str, int, Mapping[str, Tensor]]]) -> None:
        """Hold saved (key, version, tensors) again."""
        self.held |= {key: _Trajectory(tensors, version) for key, version, tensors in trajectories}


def load_trajectory(folder: Path, name: str) -> dict[str, Tensor]:
    """A saved trajectory's tensors, copied out of the file."""
    return {key: tensor.clone() for key, tensor in load_file(folder / Path(name).name).items()}
