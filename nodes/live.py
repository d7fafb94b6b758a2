"""What a training shows while it runs: curves, pictures, found concepts.

Kept here for reloads and further tabs, and sent to the browser as changes, at most four times a second.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import folder_paths
from PIL import Image
from server import PromptServer

EVENT = "concept_erasure.training"
SUBFOLDER = "concept_erasure"  # in ComfyUI's temp folder, which it empties at its start
_EVERY = 0.25  # seconds between two messages
_POINTS, _FRAMES, _FOUND, _TRAININGS = 1000, 48, 120, 24
_LARGE = 256  # pixels a side from which a picture is stored as JPEG

_trainings: OrderedDict[str, LiveTraining] = OrderedDict()


class LiveTraining:
    """One training as the browser sees it. The training thread writes, the server's thread reads snapshots.

    Attributes:
        stop: what "stop and keep" calls; set by the session.
        spent: seconds that showing has cost, pictures apart; `pictures` the seconds for storing pictures.
    """

    def __init__(self, node: str, facts: dict):
        self.node, self.run, self.stop = node, uuid.uuid4().hex[:12], lambda: None
        self.spent, self.pictures = 0.0, 0.0
        self._lock, self._sent_at, self._sequence = threading.Lock(), 0.0, 0
        self._state = {"node": node, "run": self.run, "workflow": _workflow(), "status": "preparing", "stage": "", "done": 0, "total": 0,
                       "step": 0, "steps": 0, "left": None, "message": "", **facts}
        self._points: list[list] = []
        self._found: list[dict] = []
        self._frames: list[dict] = []
        self._new: dict[str, list] = {"points": [], "frames": []}
        self._found_changed = False
        self._first: tuple[int, float] | None = None

    def prepare(self, stage: str, done: int, total: int) -> None:
        """Work before the first update."""
        begun = time.perf_counter()
        with self._lock:
            self._state |= {"stage": stage, "done": done, "total": total}
        self._send()
        self.spent += time.perf_counter() - begun

    def step(self, event: dict) -> None:
        """One update of the trainer, as its callback tells it."""
        begun = time.perf_counter()
        point = [event["step"] + 1, event["loss"], event["erased"], kept_share(event)]
        with self._lock:
            status = "stopping" if self._state["status"] == "stopping" else "running"
            self._state |= {"status": status, "stage": "", "step": point[0], "steps": event["steps"], "left": self._left(point[0], event["steps"])}
            self._points.append(point)
            self._new["points"].append(point)
            self._points = _thinned(self._points, _POINTS)
        self._send()
        self.spent += time.perf_counter() - begun

    def resume(self, history: list[dict]) -> None:
        """The curves of a run that goes on."""
        with self._lock:
            self._points = [[r["step"] + 1, r["loss"], r["erased"], kept_share(r)] for r in history]
            while len(self._points) > _POINTS:
                self._points = _thinned(self._points, _POINTS)
            self._new["points"] = list(self._points)

    def found(self, step: int, words: list[tuple[str, float | None]]) -> None:
        """What a search found: most harmed first, with its harm; without a measured harm, words are counted."""
        begun = time.perf_counter()
        with self._lock:
            for word, harm in words[:1] if words and words[0][1] is not None else words:
                known = None if harm is not None else next((f for f in self._found if f["word"] == word), None)
                if known:
                    known["times"] += 1
                elif len(self._found) < _FOUND or harm is not None:
                    also = [[w, _short(h)] for w, h in words[1:6]] if harm is not None else []
                    self._found.append({"step": step, "word": word, "harm": _short(harm), "times": 1, "also": also})
            self._found = self._found[-_FOUND:]
            self._found_changed = True
        self.spent += time.perf_counter() - begun

    def frame(self, step: int, erased: Image.Image, kept: Image.Image | None = None, before: Image.Image | None = None, word: str = "") -> None:
        """The erased concept now, with a kept one beside it: now and as the untouched model draws it."""
        begun = time.perf_counter()
        frame = {"step": step, "word": word} | {
            name: self._store(f"{step:06d}-{name}", picture) if picture is not None else None
            for name, picture in (("erased", erased), ("kept", kept), ("before", before))
        }
        if before is None and word:
            frame["before"] = next((f["before"] for f in reversed(self._frames) if f["word"] == word and f["before"]), None)
        with self._lock:
            self._frames.append(frame)
            self._new["frames"].append(frame)
            if len(self._frames) > _FRAMES:  # the first and the last stay
                self._frames = [*self._frames[:-1:2], self._frames[-1]]
        self._send(now=True)
        self.pictures += time.perf_counter() - begun

    def end(self, status: str, message: str = "") -> None:
        """`status`: finished, stopped, cancelled or failed."""
        with self._lock:
            self._state |= {"status": status, "message": message, "left": 0, "stage": ""}
        self.stop = lambda: None
        self._send(now=True)

    def request_stop(self) -> bool:
        """Stop after the current update and keep what there is; False when nothing has been learned yet or nothing runs."""
        with self._lock:
            if self._state["status"] != "running":
                return False
            self._state["status"] = "stopping"
        self.stop()
        self._send(now=True)
        return True

    def snapshot(self) -> dict:
        """Everything, for a page that has seen nothing yet."""
        with self._lock:
            return {**self._state, "sequence": self._sequence, "points": [list(p) for p in self._points],
                    "found": [dict(f) for f in self._found], "frames": [dict(f) for f in self._frames],
                    "cost": {"showing": round(self.spent, 4), "pictures": round(self.pictures, 4)}}

    def _send(self, now: bool = False) -> None:
        if not now and time.monotonic() - self._sent_at < _EVERY:
            return
        with self._lock:
            self._sent_at = time.monotonic()
            self._sequence += 1
            message = {**self._state, "sequence": self._sequence, **self._new}
            if self._found_changed:
                message["found"] = [dict(f) for f in self._found]
            self._new, self._found_changed = {"points": [], "frames": []}, False
        PromptServer.instance.send_sync(EVENT, message)

    def _left(self, done: int, total: int) -> float | None:
        """Seconds to the end at the pace since the first update, pictures included; what came before says nothing about it."""
        now = time.monotonic()
        if self._first is None:
            self._first = (done, now)
        first, begun = self._first
        return round((now - begun) / (done - first) * (total - done), 1) if done > first else None

    def _store(self, name: str, picture: Image.Image) -> dict:
        """Write a picture into the temp folder; returns how /view finds it."""
        large = max(picture.size) > _LARGE
        folder = Path(folder_paths.get_temp_directory()) / SUBFOLDER / self.run
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / (name + (".jpg" if large else ".png"))
        picture.save(file, **({"quality": 88} if large else {"compress_level": 1}))
        return {"filename": file.name, "subfolder": f"{SUBFOLDER}/{self.run}", "type": "temp"}


def begin(node: str | None, facts: dict, stop: Callable[[], None]) -> LiveTraining:
    """A new training of `node`; takes the place of its last one."""
    live = LiveTraining(str(node), facts)
    live.stop = stop
    _trainings.pop(live.node, None)
    _trainings[live.node] = live
    while len(_trainings) > _TRAININGS:
        _trainings.popitem(last=False)
    return live


def find(node: str) -> LiveTraining | None:
    """The last training of a node since the server started."""
    return _trainings.get(node)


def kept_share(event: dict) -> float | None:
    """How much of the kept concepts is left, on the scale of `erased`: 1 minus their drift over the way the erased concept had to go."""
    erased, drift, rest = event["erased"], event["preserve"], event["erase"]
    if erased is None or drift is None or not rest or not event["adversarial"]:
        return None
    return round(1 - drift * (1 - erased) / rest, 6)


def _thinned(points: list[list], limit: int) -> list[list]:
    """At most `limit` points: neighbours are averaged in pairs."""
    if len(points) <= limit:
        return points

    def mean(a, b):
        return b if a is None else a if b is None else (a + b) / 2

    pairs = [[q[0], *(mean(a, b) for a, b in zip(p[1:], q[1:]))] for p, q in zip(points[::2], points[1::2])]
    return pairs + ([points[-1]] if len(points) % 2 else [])


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _workflow() -> str | None:
    """Identity of the workflow that is running, so that a page with another workflow does not show its training."""
    try:
        running = next(iter(PromptServer.instance.prompt_queue.currently_running.values()))
        return running[3]["extra_pnginfo"]["workflow"]["id"]
    except (AttributeError, KeyError, IndexError, StopIteration, TypeError):
        return None
