"""What is protected while a concept is erased, and how it is found. To add a preserver: one file and one row here."""

from .base import Preserver, Setup
from .controls import FixedPreserver, NearestPreserver, RandomPreserver
from .gumbel import GumbelPreserver
from .pgd import PGDPreserver
from .ranked import RankedPreserver

PRESERVERS: dict[str, type[Preserver] | None] = {
    "none": None,
    "fixed": FixedPreserver,
    "random": RandomPreserver,
    "nearest": NearestPreserver,
    "pgd": PGDPreserver,
    "gumbel": GumbelPreserver,
    "ranked": RankedPreserver,
}

__all__ = ["PRESERVERS", "Preserver", "Setup"]
