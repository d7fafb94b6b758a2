"""Pictures people look at: before/after grids, the sensitivity spectrum, training curves, methods side by side."""

from .charts import Marked, draw_curves, draw_side_by_side, draw_spectrum
from .grid import Row, draw_grid, stack, thumbnail, to_image

__all__ = ["Marked", "Row", "draw_curves", "draw_grid", "draw_side_by_side", "draw_spectrum", "stack", "thumbnail", "to_image"]
