"""Bad input: one clear line that names the field and the remedy, before any expensive work; nothing is lost."""

import errno
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from erasure.cli import main
from erasure.errors import ErasureError
from erasure.files import check_writable, write_atomic

HOSTILE = "\x1b[31mred\x1b[0m\nnewline"


def run(capsys, *argv):
    code = main(list(argv))
    captured = capsys.readouterr()
    return code, captured.err.strip()


@pytest.fixture
def no_model(monkeypatch):
    """Loading the model counts as expensive work: it must not be reached."""
    import erasure.cli.common as common

    def refuse(*_args, **_kwargs):
        raise AssertionError("the model was loaded before the input was checked")

    monkeypatch.setattr(common, "load_denoiser", refuse)


@pytest.mark.parametrize("argv, field", [
    (["--concept", " ", "--out", "a.safetensors"], "concept"),
    (["--concept", "bus", "--target", "Bus", "--out", "a.safetensors"], "target"),
    (["--concept", "bus", "--target", "a", "--target", "b", "--out", "a.safetensors"], "target"),
    (["--concept", "bus", "--out", "a.ckpt"], "out"),
    (["--concept", "bus", "--out", "."], "out"),
    (["--concept", "bus", "--out", "a.safetensors", "--recipe", "magic"], "recipe"),
    (["--concept", "bus", "--out", "a.safetensors", "--rank", "0"], "rank"),
    (["--concept", "bus", "--out", "a.safetensors", "--parameters", "all"], "parameters"),
    (["--concept", "bus", "--out", "a.safetensors", "--templates", "no slot"], "templates"),
    (["--concept", "bus", "--out", "a.safetensors", "--vocabulary", "no/such/file.txt"], "vocabulary"),
])
def test_erase_refuses_before_loading_the_model(capsys, tmp_path, monkeypatch, no_model, argv, field):
    monkeypatch.chdir(tmp_path)
    code, message = run(capsys, "erase", *argv)
    assert code == 2 and message.startswith(f"error: {field}: ") and message.endswith(".") and "\n" not in message
    assert not list(tmp_path.iterdir())


def test_the_demo_says_what_it_can_draw(capsys, tmp_path, no_model):
    code, message = run(capsys, "demo", "--concept", "Vincent van Gogh", "--out", str(tmp_path))
    assert code == 2 and message.startswith("error: concept: ") and "fuel pump" in message and "ink style" in message and not list(tmp_path.iterdir())


@pytest.mark.parametrize("model, problem", [
    ("no/such/folder", "does not exist"), ("empty", "model_index.json"), ("model.ckpt", "pickled"), ("text.safetensors", "not a safetensors"),
    ("flux", "FluxPipeline"), ("lora.safetensors", "configuration"),
])
def test_wrong_models_are_refused(capsys, tmp_path, monkeypatch, model, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "flux").mkdir()
    (tmp_path / "flux/model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    (tmp_path / "model.ckpt").write_bytes(b"\x80\x04pickle")
    (tmp_path / "text.safetensors").write_text("not at all")
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(2, 2)}, tmp_path / "lora.safetensors")
    code, message = run(capsys, "erase", "--model", model, "--concept", "bus", "--out", "a.safetensors")
    assert code == 2 and message.startswith("error: model: ") and problem in message


@pytest.mark.parametrize("argv, field", [
    (["probe", "--adapter", "no.safetensors"], "adapter"),
    (["probe", "--adapter", "no.pt"], "adapter"),
    (["probe", "--adapter", "a.safetensors", "--plot", "a.txt"], "plot"),
    (["compare", "--adapter", "no.safetensors", "--prompts", "a", "--out", "a.png"], "adapter"),
    (["compare", "--adapter", "no.safetensors", "--prompts", "a", "--out", "a"], "out"),
    (["compare", "--adapter", "no.safetensors", "--prompts", "a", "--out", "a.png", "--steps", "0"], "steps"),
    (["compare", "--adapter", "no.safetensors", "--prompts", "a", "--out", "a.png", "--strengths", "nan"], "strengths"),
    (["evaluate", "--adapter", "no.safetensors", "--steps", "2000"], "steps"),
    (["evaluate", "--adapter", "no.safetensors", "--images", "0"], "images"),
    (["evaluate", "--adapter", "no.safetensors", "--model", "other"], "model"),
    (["inspect", "no.safetensors"], "adapter"),
])
def test_looking_refuses_before_loading_the_model(capsys, tmp_path, monkeypatch, no_model, argv, field):
    monkeypatch.chdir(tmp_path)
    code, message = run(capsys, *argv)
    assert code == 2 and message.startswith(f"error: {field}: ")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_unusable_devices_are_refused(capsys, tmp_path, device):
    code, message = run(capsys, "erase", "--device", device, "--concept", "bus", "--out", str(tmp_path / "a.safetensors"))
    assert code == 2 and message.startswith("error: device: ")


def test_a_read_only_folder_is_refused(tmp_path, monkeypatch):
    def forbid(path, *_args, **_kwargs):
        raise PermissionError(errno.EACCES, "denied", str(path))

    monkeypatch.setattr("builtins.open", forbid)
    with pytest.raises(ErasureError, match="^out: .*may not write"):
        check_writable("out", tmp_path / "a.safetensors", (".safetensors",))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")
    monkeypatch.setattr("os.fsync", lambda _fd: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
    with pytest.raises(ErasureError, match="disk is full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_hostile_card_prints_as_text(capsys, tmp_path):
    metadata = {"modelspec.title": HOSTILE, "modelspec.author": HOSTILE, "erasure.card": '{"concepts": [{"name": "\\u001b[2J", "target": ""}], "preserved": [1]}'}
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(2, 1), "lora_unet_x.lora_down.weight": torch.zeros(1, 2)}, tmp_path / "a.safetensors", metadata)
    assert main(["inspect", str(tmp_path / "a.safetensors")]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out


@pytest.mark.parametrize("card", ["9" * 5000, '{"base": {"fingerprint": {"a": ' + "9" * 400 + "}}}", '[]', '{"concepts": 3}', '{"concepts": [{}]}', '{"base": []}', "null", '{"concepts": [{"name": 5}], "base": {"fingerprint": "x"}}'])
def test_a_card_of_the_wrong_shape_is_ignored(capsys, tmp_path, card):
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(2, 1), "lora_unet_x.lora_down.weight": torch.zeros(1, 2)}, tmp_path / "a.safetensors", {"erasure.card": card})
    assert main(["inspect", str(tmp_path / "a.safetensors")]) == 0


def test_error_texts_cannot_steer_a_terminal():
    assert "\x1b" not in str(ErasureError("adapter", "layer \x1b[2J is odd", "Use another.")) 


def test_importing_the_core_needs_neither_diffusers_nor_comfy():
    code = "import sys, erasure.trainer, erasure.probe, erasure.cli; bad = {'diffusers', 'transformers', 'peft', 'comfy', 'folder_paths', 'matplotlib'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
