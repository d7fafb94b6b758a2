"""The one error a user should ever see: which field, what is wrong, what to do about it."""

from __future__ import annotations


class ErasureError(ValueError):
    """Bad input or an impossible request, found before expensive work.

    Args:
        field: the setting, argument or file the user can change.
        problem: what is wrong with it, without a full stop.
        remedy: what to do instead, a whole sentence.
    """

    def __init__(self, field: str, problem: str, remedy: str):
        self.field, self.problem, self.remedy = field, problem, remedy
        super().__init__(printable(f"{field}: {problem}. {remedy}"))


def printable(text: object) -> str:
    """Text from a file or a user with control characters replaced, so that it cannot steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in str(text))
