"""Labels that are wrong: which they are, why, and what it is worth to fix them."""

from skinfluence.labels._audit import LabelAudit
from skinfluence.labels._evidence import Evidence
from skinfluence.labels._review import ReviewCurve

__all__ = ["Evidence", "LabelAudit", "ReviewCurve"]
