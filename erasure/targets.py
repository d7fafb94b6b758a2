"""What the erased concept becomes: the direction the student must predict for it (ESD, Gandikota et al. 2023, eq. 7).

    d* = d(anchor) - eta (d(c_e) - d(anchor))

With eta = 1 and the empty anchor this is 2 d(0) - d(c_e), the target of ESD and of adversarial preservation;
with eta = 0 it maps the concept onto the anchor.
"""

from __future__ import annotations

from torch import Tensor

_CONNECTIVES = {"a", "an", "the", "of", "in", "by", "with", "on", "as", "from"}


def erased_direction(d_erase: Tensor, d_anchor: Tensor, negative_guidance: float) -> Tensor:
    """d* (B, C, H, W) from the teacher's predictions for the erased prompt and for its anchor."""
    return d_anchor - negative_guidance * (d_erase - d_anchor)


def anchor_prompt(template: str, target: str) -> str:
    """The prompt that `template` becomes without the concept, so that its context survives the erasure.

    >>> anchor_prompt("a photo of a {}", "tree"), anchor_prompt("{}", ""), anchor_prompt("a {} in ink style", "")
    ('a photo of a tree', '', 'ink style')
    >>> anchor_prompt("a dog in {}", ""), anchor_prompt("a photo of a {} on a white background", "")
    ('a dog', 'a photo on a white background')
    """
    if target:
        return template.replace("{}", target)
    before, _, after = template.partition("{}")
    head, tail = before.split(), after.split()
    while head and head[-1].lower() in _CONNECTIVES:
        head.pop()
    while not head and tail and tail[0].lower() in _CONNECTIVES:
        tail.pop(0)
    return " ".join(head + tail)
