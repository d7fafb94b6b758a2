"""What is said in two places, because two programs read it, says the same."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def required(name: str) -> list[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return sorted(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def test_the_registry_and_pip_are_told_the_same_requirements():
    assert sorted(PROJECT["dependencies"]) == required("requirements.txt")
    assert sorted(PROJECT["optional-dependencies"]["cli"]) == required("requirements-cli.txt")
    assert not any(line.startswith("torch") for line in required("requirements.txt"))  # ComfyUI brings its own


def test_everybody_names_the_same_oldest_python():
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert f"Python {oldest} or newer" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"sys.version_info < ({oldest.replace('.', ', ')})" in (ROOT / "install.py").read_text(encoding="utf-8")


def test_managers_that_run_the_installer_install_nothing(tmp_path):
    done = subprocess.run([sys.executable, str(ROOT / "install.py")], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "Nothing to install" in done.stdout and not list(tmp_path.iterdir())
