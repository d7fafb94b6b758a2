"""Stage `text`: a BPE tokenizer and a CLIP-like text tower, pre-trained against the judge's image features, then frozen.

Contrastive pre-training (Radford et al. 2021) with concept, style and background heads: trained jointly with the
UNet from random weights instead, style and background obeyed the text and objects did not.
"""

from __future__ import annotations

import csv
import json
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from erasure.evaluation.judge import Judge  # noqa: E402

from captions import caption
from catalogue import BACKGROUNDS, STYLES, catalogue
from common import Progress, cosine_rate, log
from pictures import Pictures

MERGES, LENGTH, BATCH, PEAK_RATE = 2300, 32, 128, 1e-3
_START, _END = "<|startoftext|>", "<|endoftext|>"
_PATTERN = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def corpus(english: Path, seed: int) -> list[str]:
    """Captions, and common English words so that any prompt splits reasonably."""
    rng, n = random.Random(seed), len(catalogue()["concepts"])
    lines = [caption(rng.randrange(n), rng.randrange(len(STYLES)), rng.randrange(len(BACKGROUNDS)), rng).text for _ in range(20_000)]
    with open(english, encoding="utf-8", newline="") as file:
        return lines + [row["word"] for row in csv.DictReader(file, delimiter="\t")] * 8


def train_tokenizer(folder: Path, english: Path, seed: int) -> CLIPTokenizer:
    """Learn the merges, then lay the vocabulary out as CLIP does: bytes, bytes at a word's end, merges, start, end."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_PATTERN), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=len(alphabet) * 2 + MERGES, end_of_word_suffix="</w>", initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(corpus(english, seed), trainer)
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in json.loads(bpe.to_str())["model"]["merges"]][:MERGES]
    tokens = alphabet + [a + "</w>" for a in alphabet] + ["".join(m) for m in merges]
    tokens = list(dict.fromkeys(tokens)) + [_START, _END]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n", encoding="utf-8")
    special = {"bos_token": _START, "eos_token": _END, "unk_token": _END, "pad_token": _END}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, "do_lower_case": True, "add_prefix_space": False, "errors": "replace", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    return CLIPTokenizer.from_pretrained(folder)


def build(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4, projection_dim=128,
        max_position_embeddings=LENGTH, hidden_act="quick_gelu", bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    ))


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """(B, 32) token ids, padded with the end token."""
    return tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt").input_ids


@torch.no_grad()
def image_features(judge: Judge, pictures: Pictures) -> Tensor:
    """(concepts, styles, backgrounds, 192) features of the plain renders."""
    grid = torch.cartesian_prod(*(torch.arange(n) for n in (pictures.concepts, pictures.styles, len(BACKGROUNDS))))
    parts = [judge.features(pictures.compose(pictures.legal(part.clone()))) for part in grid.split(128)]
    return torch.cat(parts).unflatten(0, (pictures.concepts, pictures.styles, len(BACKGROUNDS)))


class Heads(nn.Module):
    """Projections of text and image to one space, and what the text says."""

    def __init__(self):
        super().__init__()
        sizes = {"concept": len(catalogue()["concepts"]), "style": len(STYLES), "background": len(BACKGROUNDS)}
        self.says = nn.ModuleDict({k: nn.Linear(128, n) for k, n in sizes.items()})
        self.text, self.image, self.scale = nn.Linear(128, 96, bias=False), nn.Linear(192, 96, bias=False), nn.Parameter(torch.tensor(2.5))


def run(work_dir: Path, demo_dir: Path, english: Path, steps: int, seed: int = 3) -> None:
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(work_dir / "tokenizer", english, seed)
    tower, heads, pictures = build(tokenizer).train(), Heads(), Pictures(work_dir, shrink=2)
    features = image_features(Judge.load(demo_dir / "judge"), pictures)
    parameters = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_RATE, weight_decay=0.02)
    rng, progress = random.Random(seed), Progress("text", steps, work_dir / "text.jsonl")
    gen = torch.Generator().manual_seed(seed)
    for step in range(steps):
        labels = pictures.draw_labels(BATCH, gen)
        said = [caption(*row, rng) for row in labels.tolist()]
        pooled = tower(token_ids(tokenizer, [c.text for c in said])).pooler_output
        loss, right = loss_of(heads, pooled, features[tuple(labels.T)], said)
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_RATE, 1e-5, 50)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        progress(step + 1, loss=loss.item(), concept=right)
    save_file({f"text_model.{k.removeprefix('text_model.')}": v.contiguous() for k, v in tower.state_dict().items() if "position_ids" not in k}, work_dir / "text.safetensors")
    log("text: saved")


def loss_of(heads: Heads, pooled: Tensor, features: Tensor, said: list) -> tuple[Tensor, float]:
    """(contrastive + head losses, concept accuracy where the caption names it)."""
    text, image = F.normalize(heads.text(pooled), dim=1), F.normalize(heads.image(features), dim=1)
    logits = heads.scale.exp() * text @ image.T
    rows = torch.arange(len(said))
    loss = 0.5 * (F.cross_entropy(logits, rows) + F.cross_entropy(logits.T, rows))
    for name, head in heads.says.items():
        target = torch.tensor([getattr(c, name) for c in said])
        out = head(pooled)
        loss = loss + F.cross_entropy(out, target, ignore_index=-1)
        if name == "concept":
            right = (out.argmax(1) == target)[target >= 0].float().mean().item()
    return loss, right


def load(work_dir: Path) -> tuple[CLIPTokenizer, CLIPTextModel]:
    """The frozen tower and its tokenizer."""
    from safetensors.torch import load_file

    tokenizer = CLIPTokenizer.from_pretrained(work_dir / "tokenizer")
    tower = build(tokenizer).eval().requires_grad_(False)
    state = load_file(work_dir / "text.safetensors")
    wanted = tower.state_dict()
    tower.load_state_dict({k: state.get(k, state.get(f"text_model.{k}", v)) for k, v in wanted.items()})
    return tokenizer, tower


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[5]))
    run(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
