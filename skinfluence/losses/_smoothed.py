"""Losses whose kinks are smoothed by a temperature."""

import numpy as np

from skinfluence.losses._base import Loss


class SmoothedLoss(Loss):
    """A loss with T log(1 + exp(u / T)) in place of max(0, u), for one or several u linear in eta.

    The term is T times the log loss at u / T. Its derivatives in u are bounded by one another as
    those of the log loss, with 1 / T for each derivative more: |l'''| <= l'' / T. Its gradient has
    poles at u = +-i pi T.

    Parameters
    ----------
    temperature : float
        T > 0, in the units of eta.
    """

    def __init__(self, temperature):
        self.temperature = float(temperature)
        self.series_radius = np.pi * self.temperature
        self.self_concordance = 1.0 / self.temperature
