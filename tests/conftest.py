"""Fixtures: a tiny random Stable Diffusion (milliseconds per call) and the embedded model."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Tests neither read nor fill the user's cache."""
    os.environ["ERASURE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def tiny():
    """Random weights as a Denoiser; new for every test."""
    from tiny_models import random_pipeline

    from erasure.hosts.diffusers import DiffusersDenoiser

    return DiffusersDenoiser(random_pipeline(), "tiny")


@pytest.fixture(scope="session")
def demo():
    """The embedded model; tests must leave it as it was."""
    from erasure.hosts.demo import load_demo

    return load_demo("cpu")


@pytest.fixture
def small():
    """Settings that make any recipe run in a second or two on `tiny`."""
    return {"steps": 8, "rank": 2, "vocabulary": "demo", "candidates": 12, "centers": 8, "trajectories": 2, "trajectory_steps": 4,
            "candidate_steps": 3, "search_every": 4, "search_top": 4, "learning_rate": 1e-2, "pgd_steps": 1, "checkpoint_every": 3}
