"""Rows in blocks: data that need not fit in memory."""

from skinfluence._sources import RowBlocks, as_blocks

__all__ = ["RowBlocks", "as_blocks"]
