"""Answers about batches of rows that ask for all the others: each may be another worker's."""

from skinfluence._parallel import in_order, n_workers, one_thread


def batch_answers(objective, curvature, batches, function, *about):
    """Yield function(objective, curvature, rows, *about) of batches of rows, in order.

    By joblib's workers where it is set to several. A worker is sent the description of the rows of
    blocks, the parameters and the factor; products take one thread of BLAS, so that the numbers are
    the same whatever worker has found them.

    Parameters
    ----------
    objective : Objective
    curvature : Curvature or None
    batches : list of ndarray of int
    function : callable
        Of a module: it is sent by its name.
    *about : object
        Small.
    """
    if len(batches) < 2 or n_workers(None) == 1 or not objective.design.can_be_sent:
        for rows in batches:
            with one_thread():
                yield function(objective, curvature, rows, *about)
        return
    told = _Told(objective, curvature)
    yield from in_order(_of_batch, [(told, function, rows, about) for rows in batches])


class _Told:
    """An objective and its curvature, told by descriptions."""

    def __init__(self, objective, curvature):
        self.objective, self.curvature, self.base = objective.described(), None, None
        if curvature is not None:
            self.curvature = curvature.without_rows()
            if curvature.objective is not objective:
                self.base = curvature.objective.described()

    def made(self):
        """Return (objective, curvature) with their rows."""
        objective = self.objective()
        if self.curvature is None:
            return objective, None
        base = objective if self.base is None else self.base()
        return objective, self.curvature.with_rows(base)


def _of_batch(told, function, rows, about):
    """Answer of a batch, by a worker."""
    with one_thread():
        return function(*told.made(), rows, *about)
