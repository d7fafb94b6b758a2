"""What the nodes share: socket types, widgets from settings, progress with cancel, names confined to their folders."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
from comfy_api.latest import io
from server import PromptServer

from ..erasure.adapter import ErasureAdapter, adapter_from_tensors, state_dict
from ..erasure.concepts import ConceptSpace
from ..erasure.config import EraseConfig, field_type, fields_by_name
from ..erasure.errors import ErasureError

CATEGORY = "concept erasure"
ConceptSpaceSocket = io.Custom("CONCEPT_SPACE")
AdvancedSocket = io.Custom("ERASE_ADVANCED")
ConceptsSocket = io.Custom("CONCEPTS")
WIDGETS = {"target": "replace_with", "preserve": "protect", "seed": "erase_seed", "candidates": "top_k", "centers": "thinning"}  # settings that nodes show under another name
_EVERY = 0.25  # seconds between two messages to the browser


@dataclass(frozen=True)
class SpaceChoice:
    """What travels on a CONCEPT_SPACE wire: encoded candidates, and how training shall use them."""

    space: ConceptSpace
    source: str
    exclude: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    settings: dict = field(default_factory=dict)


class ErasedLora(dict):
    """A LORA_MODEL: the state dict that core's nodes take, with our adapter and its card."""

    def __init__(self, adapter: ErasureAdapter):
        super().__init__(state_dict(adapter))
        self.adapter = adapter


def adapter_of(lora: dict) -> ErasureAdapter:
    """The adapter on a LORA_MODEL wire, whoever made it.

    Raises:
        ErasureError: not a LoRA in kohya naming.
    """
    return lora.adapter if isinstance(lora, ErasedLora) else adapter_from_tensors(lora, "the wired LoRA")


def widget(name: str, *, id: str = "", more: str = "", **changes):
    """The node input of one training setting: type, default, limits and tooltip (and then `more`) come from `EraseConfig`."""
    f = fields_by_name()[name]
    kind, meta = field_type(f), f.metadata
    options = {"default": f.default, "tooltip": f"{_sentence(meta['help'])} {more}".strip()} | changes
    if meta["choices"]:
        return io.Combo.Input(id or name, options=list(meta["choices"]), **options)
    if kind is bool:
        return io.Boolean.Input(id or name, **options)
    if kind is tuple:
        return io.String.Input(id or name, **(options | {"default": "\n".join(f.default), "multiline": True}))
    limits = {"min": meta["low"], "max": meta["high"]}
    if kind is int:
        return io.Int.Input(id or name, **(limits | options))
    step = 10.0 ** -8 if meta["low"] and meta["low"] < 1e-4 else 0.05 if meta["high"] > 1 else 0.001
    return io.Float.Input(id or name, **(limits | {"step": step} | options))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def lines(text: str) -> tuple[str, ...]:
    """Non-empty lines of a text widget; commas separate too."""
    return tuple(part.strip() for part in re.split(r"[\n,]", text or "") if part.strip())


def text_lines(text: str) -> tuple[str, ...]:
    """Non-empty lines of a text widget in which a comma is part of the text."""
    return tuple(part.strip() for part in (text or "").splitlines() if part.strip())


def check_choice(field: str, value: str, options) -> str:
    """A combo value that is really one of its options: older servers do not check."""
    if value not in options:
        raise ErasureError(field, f"'{value}' is not one of the choices", f"Choose one of {', '.join(map(str, list(options)[:12]))}.")
    return value


def confined(field: str, folder: Path, name: str, suffix: str) -> Path:
    """`folder`/`name` with `suffix`, for a name that came from a workflow.

    Raises:
        ErasureError: an empty name, or one that could leave the folder.
    """
    parts = [p for p in name.strip().removesuffix(suffix).replace("\\", "/").split("/")]
    if not all(re.fullmatch(r"[\w()\[\]+,' -][\w()\[\]+,'. -]*", p) for p in parts) or len(name) > 200:
        raise ErasureError(field, f"'{name[:80]}' is not a plain name", "Use letters, digits, spaces, - and _; a / makes a subfolder.")
    path = folder.joinpath(*parts[:-1], parts[-1] + suffix)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ErasureError(field, f"'{name[:80]}' leads out of its folder", "Use a plain name.")
    return path


def data_folder() -> Path:
    """The pack's own folder among the user's data: states, vocabularies."""
    return Path(folder_paths.get_user_directory()) / "concept_erasure"


def vocabulary_folder() -> Path:
    return data_folder() / "vocabularies"


class Progress:
    """A node's progress bar with time left in words; raises when the user cancels."""

    def __init__(self, node_id: str | None, stage: str):
        self.node_id, self.stage, self.began, self.told, self.first = node_id, stage, time.monotonic(), 0.0, None
        self.bar = comfy.utils.ProgressBar(1, node_id=node_id)

    def __call__(self, done: int, total: int, note: str = "", preview=None) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        now = time.monotonic()
        self.first = done if self.first is None else self.first
        if now - self.told < _EVERY and done < total and preview is None:
            return
        self.told = now
        rate = (now - self.began) / max(1, done - self.first)
        left = f", {clock(rate * (total - done))} left" if done > self.first else ""
        if self.node_id:
            PromptServer.instance.send_progress_text(f"{self.stage} {done}/{total}{left}{note and ' - ' + note}", self.node_id)
        self.bar.update_absolute(done, total, ("JPEG", preview, 512) if preview is not None else None)


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f"{minutes}:{rest:02d}"


def stages(node_id: str | None) -> Callable[[str], Progress]:
    """One bar per stage name."""
    bars: dict[str, Progress] = {}
    return lambda stage: bars.setdefault(stage, Progress(node_id, stage))


def draft_error(**settings) -> str | None:
    """What `EraseConfig` says of these settings, for `validate_inputs`: None, or the message."""
    try:
        with errors_name_widgets():
            EraseConfig(**settings).validate()
    except ErasureError as error:
        return str(error)
    return None


@contextmanager
def errors_name_widgets():
    """Inside, an error about a setting names the widget that the user sees."""
    try:
        yield
    except ErasureError as error:
        if error.field not in WIDGETS:
            raise
        raise ErasureError(WIDGETS[error.field], error.problem, error.remedy) from error
