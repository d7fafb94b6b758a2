"""Set everything up and run it: `python install.py demo` or `python install.py test`. Standard library only.

A private environment is made in `.venv` beside this file; no other environment is touched. Without an argument,
as ComfyUI-Manager and A1111 / Forge call it, nothing is installed: they bring torch, and requirements.txt the rest.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
TORCH = "torch==2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
REQUIREMENTS = {
    "demo": ("requirements.txt", "requirements-cli.txt"),
    "test": ("requirements.txt", "requirements-cli.txt", "requirements-test.txt"),
}
WITHOUT_DEPENDENCIES = {"demo": (), "test": ("requirements-test-no-deps.txt",)}
COMMANDS = {"demo": ["-m", "erasure", "demo"], "test": ["-m", "pytest", "-n", "2", "--dist", "loadfile"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=tuple(COMMANDS), help="demo: erase a concept from the embedded model; test: run all tests")
    parser.add_argument("--venv", default=str(ROOT / ".venv"), help="where to make the environment (default: .venv)")
    parser.add_argument("--cpu", action="store_true", help="on Linux, install the smaller CPU build of torch from its own index")
    args, rest = parser.parse_known_args()
    if args.what is None:
        print("Nothing to install here: requirements.txt has what the nodes need. Try 'python install.py demo'.")
        return 0
    if sys.version_info < (3, 11):
        print("Python 3.11 or newer is needed.", file=sys.stderr)
        return 2
    python = prepare(Path(args.venv), args.what, args.cpu)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"} | ({"OMP_NUM_THREADS": "1"} if args.what == "test" else {})  # one thread for each of two workers
    return subprocess.call([str(python), *COMMANDS[args.what], *rest], cwd=ROOT, env=environment)


def prepare(folder: Path, what: str, cpu: bool) -> Path:
    """Make or bring up to date the environment; returns its Python. Skipped when nothing has changed."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    files, alone = ([ROOT / name for name in names[what]] for names in (REQUIREMENTS, WITHOUT_DEPENDENCIES))
    stamp = folder / f"installed-{what}.txt"
    wanted = hashlib.sha256("".join([TORCH, *(f.read_text() for f in (*files, *alone))]).encode()).hexdigest()
    if python.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"Preparing {folder} (once; torch is a large download) ...", flush=True)
    venv.create(folder, with_pip=True, clear=False)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.check_call([*pip, TORCH, *(["--index-url", CPU_INDEX] if cpu else [])])
    subprocess.check_call([*pip, *(part for f in files for part in ("-r", str(f)))])
    for file in alone:
        subprocess.check_call([*pip, "--no-deps", "-r", str(file), *(["--extra-index-url", CPU_INDEX] if cpu else [])])
    stamp.write_text(wanted)
    return python


if __name__ == "__main__":
    sys.exit(main())
