"""Rows that are not arrays in memory: refused where they would be read whole, or read in blocks."""

from skinfluence._sources._blocks import RowBlocks, as_blocks
from skinfluence._sources._files import files_of
from skinfluence._sources._refuse import check_in_memory, refuse_blocks

__all__ = ["RowBlocks", "as_blocks", "check_in_memory", "files_of", "refuse_blocks"]
