"""One offline page that shows a model's predictions, labels and training rows."""

from skinfluence.report._report import InfluenceReport

__all__ = ["InfluenceReport"]
