"""The rows of the table: which contestant answers which problem, over which floor, to which bar."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A line to measure.

    Attributes
    ----------
    problem, contestant, floor : str
        Names in `problems`, `contestants` and `floors`.
    bar : float or None
        Largest ratio to the floor.
    seconds_bar : float or None
        Most seconds.
    peak_bar : float or None
        Most megabytes above the data.
    truth : {"matrix", "own", None}
        Which of the refits' effects the answer is compared with.
    """

    problem: str
    contestant: str
    floor: str = "dsyrk + dgemm"
    bar: float | None = None
    peak_bar: float | None = None
    seconds_bar: float | None = None
    truth: str | None = "matrix"


PEERS = ("NumPy formula", "pyinfluence", "captum", "dattri", "pyDVL")
FIRST, NEWTON, EXACT = (f"skinfluence {name}" for name in ("first_order", "newton", "exact"))
BLOCKED, PRODUCT = "dsyrk + dgemm in blocks", "one product X @ S"
PAIR, OWN = "a pair of products Z @ T, Z' @ R", {"truth": "own"}
LOO, ALO = "skinfluence loo, exact", "skinfluence loo, newton"
COLD, WARM = "scikit-learn refits, cold", "scikit-learn refits, warm"

ROWS = [
    Row("dense", FIRST, bar=1.5),
    Row("dense", NEWTON, bar=3.0),
    *(Row("dense", peer) for peer in PEERS),
    Row("dense", "skinfluence self, newton", "dsyrk + dtrsm", bar=1.6, truth="own"),
    Row("digits", FIRST, bar=2.5),
    Row("digits", NEWTON, bar=5.0),
    Row("digits", EXACT),
    *(Row("digits", peer) for peer in PEERS if peer != "pyinfluence"),  # which is binary only
    Row("topk", "skinfluence most_influential, first_order", BLOCKED, peak_bar=600, truth=None),
    Row("topk", "skinfluence most_influential", BLOCKED, peak_bar=600, truth=None),
    Row("sparse", "skinfluence first_order by CG", PRODUCT, bar=25.0),
    Row("sparse", "skinfluence newton, 50 rows", PRODUCT),
    Row("sparse-dual", FIRST, PRODUCT, bar=25.0),
    Row("sparse-dual", NEWTON, PRODUCT),
    Row("sms", FIRST, PRODUCT, bar=15.0),
    Row("sms", NEWTON, PRODUCT, bar=45.0),  # three times that of first_order
    Row("loo", LOO, PAIR, bar=8.0, peak_bar=400, **OWN),
    Row("loo", ALO, PAIR, **OWN),
    *(Row("loo", peer, PAIR, **OWN) for peer in (COLD, WARM, "bbai")),
    Row("loo-large", LOO, PAIR, **OWN),
    *(Row("loo-wide", who, PAIR, **OWN) for who in (LOO, COLD, WARM)),
    Row("loo-hard", LOO, PAIR, seconds_bar=10.0, **OWN),
    *(Row("loo-hard", peer, PAIR, **OWN) for peer in (COLD, WARM)),
    Row("loo-many", ALO, "dsyrk + dtrsm", bar=2.0, **OWN),
    Row("loo-many", "bbai", "dsyrk + dtrsm", **OWN),
]

# Training rows that are refitted without: fewer where a refit takes seconds.
SAMPLED = {"topk": 0, "sparse": 10, "sparse-dual": 10, "sms": 10, "loo-wide": 10}
SAMPLED_ELSEWHERE = 30
