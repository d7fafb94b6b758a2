"""A running ComfyUI with this pack in it, and scripts beside it in its process; nothing of it is replaced."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACK = "concept-erasure"
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.InstalledVersion": "1.32.9", "Comfy.Release.Status": "what's new seen"}


class Server:
    """A running ComfyUI with its HTTP interface."""

    def __init__(self, tree: Path, base: Path):
        self.base, self.log = base, base / "server.log"
        for folder in ("custom_nodes", "user/default", "output/loras", "models/loras"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        (base / "user/default/comfy.settings.json").write_text(json.dumps(SETTINGS))
        os.symlink(ROOT, base / "custom_nodes" / PACK, target_is_directory=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url, self._tree, self._process = f"http://127.0.0.1:{self.port}", tree, None

    def start(self) -> Server:
        command = [sys.executable, str(self._tree / "main.py"), "--cpu", "--listen", "127.0.0.1", "--port", str(self.port), "--disable-api-nodes", "--disable-auto-launch",
                   "--base-directory", str(self.base), "--database-url", f"sqlite:///{self.base}/user/comfyui.db"]
        environment = {**os.environ, "ERASURE_CACHE": str(self.base / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, stdout=self.log.open("ab"), stderr=subprocess.STDOUT, env=environment)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log.read_text()[-3000:]
            with contextlib.suppress(OSError):
                self.get("/system_stats")
                return self
            time.sleep(0.3)
        raise AssertionError("the server did not answer in two minutes: " + self.log.read_text()[-3000:])

    def stop(self, hard: bool = False) -> None:
        if self._process:
            (self._process.kill if hard else self._process.terminate)()
            self._process.wait(30)
            self._process = None

    def get(self, path: str):
        """JSON of an answer, or its bytes."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            data = answer.read()
            return json.loads(data) if "json" in answer.headers.get("Content-Type", "") else data

    def post(self, path: str, value: dict) -> dict:
        """JSON of an answer; of an HTTP error with its code as "http"."""
        request = urllib.request.Request(self.url + path, json.dumps(value).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return {"http": error.code, **json.loads(error.read() or b"{}")}

    def queue(self, prompt: dict) -> str:
        """Queue an API-format prompt; returns its number. Fails the test when a node refuses."""
        answer = self.post("/prompt", {"prompt": prompt, "client_id": "tests"})
        assert "prompt_id" in answer and not answer.get("node_errors"), answer
        return answer["prompt_id"]

    def wait(self, number: str, timeout: float = 600) -> dict:
        """The history entry of a prompt, whatever became of it."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            history = self.get(f"/history/{number}")
            if number in history:
                return history[number]
            time.sleep(0.2)
        raise AssertionError(f"not finished after {timeout} s: " + self.log.read_text()[-2000:])

    def run(self, prompt: dict, timeout: float = 600) -> dict:
        """Outputs by node of a prompt that must succeed."""
        entry = self.wait(self.queue(prompt), timeout)
        assert entry["status"]["status_str"] == "success", entry["status"]
        return entry["outputs"]

    def pictures(self, output: dict, key: str = "images"):
        """(B, 3, H, W) in 0..1 of the pictures in a node's output."""
        import io

        import numpy as np
        import torch
        from PIL import Image

        found = []
        for ref in output[key]:
            data = self.get(f"/view?filename={urllib.request.quote(ref['filename'])}&subfolder={urllib.request.quote(ref['subfolder'])}&type={ref['type']}")
            found.append(torch.from_numpy(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).copy()).permute(2, 0, 1) / 255)
        return torch.stack(found)


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def in_process(comfy_tree: Path, script: str, *arguments: str, timeout: float = 600) -> dict:
    """Run tests/comfy/`script` with ComfyUI's modules at hand; it prints JSON as its last line."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(comfy_tree), str(ROOT))), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, str(Path(__file__).parent / script), *arguments], capture_output=True, text=True, env=environment, timeout=timeout)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
