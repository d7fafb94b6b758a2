"""kill -9 at any moment leaves a loadable state; the resumed run ends in the same bytes."""

import os
import signal
import subprocess
import sys
import time

import pytest

ARGUMENTS = ["--concept", "fuel pump", "--recipe", "ap-ranked", "--steps", "30", "--checkpoint-every", "5", "--search-every", "10", "--search-top", "4",
             "--trajectories", "2", "--trajectory-steps", "4", "--candidate-steps", "3", "--centers", "12", "--threads", "1"]


def start(out, **kwargs):
    command = [sys.executable, "-m", "erasure", "erase", *ARGUMENTS, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, **kwargs)


def wait_for(condition, process, seconds=120):
    end = time.time() + seconds
    while time.time() < end and process.poll() is None:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("the run ended, or never got that far")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "pump.safetensors"
    process = start(out)
    assert process.wait() == 0
    return out.read_bytes()


@pytest.mark.parametrize("delays", [(0.0, 0.25)])
def test_killed_runs_resume_to_the_same_bytes(tmp_path, whole, delays):
    """Killed twice, at moments that have nothing to do with the checkpoints."""
    out = tmp_path / "pump.safetensors"
    for delay in delays:
        process = start(out)
        wait_for(lambda: list(tmp_path.glob("*.state/state.safetensors")), process)
        time.sleep(delay)
        process.kill()
        process.wait()
        assert not out.exists()
    assert start(out).wait() == 0
    assert out.read_bytes() == whole and not list(tmp_path.glob("*.state"))


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_keeps_a_valid_adapter_and_resumes(tmp_path, whole):
    out = tmp_path / "pump.safetensors"
    process, saved = start(out), lambda: [p.stat().st_mtime_ns for p in tmp_path.glob("*.state/state.safetensors")]
    wait_for(saved, process)
    first = saved()  # before the first update
    wait_for(lambda: saved() != first, process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert process.returncode == 1 and "stopped by you" in said and out.is_file()
    assert start(out).wait() == 0
    assert out.read_bytes() == whole


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_before_the_first_update_leaves_at_once():
    """There is nothing to keep, and an adapter of zeros must not replace the file that is there."""
    from erasure.cli.train import stop_on_interrupt

    class Trainer:
        step, stopped = 0, False

        def stop(self):
            self.stopped = True

    trainer = Trainer()
    with pytest.raises(KeyboardInterrupt), stop_on_interrupt(trainer):
        signal.raise_signal(signal.SIGINT)
    assert not trainer.stopped
    trainer.step = 1
    with stop_on_interrupt(trainer):
        signal.raise_signal(signal.SIGINT)
    assert trainer.stopped
