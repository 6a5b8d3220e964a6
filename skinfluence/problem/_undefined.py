"""Warnings of rows and groups without a model after their removal, by name and with the cause."""

import numpy as np

from skinfluence.deletion import LOOKED_AT, causes, warn_undefined


class UndefinedRows:
    """What a FittedProblem says of rows and groups that no model is left without."""

    def causes_without(self, rows, objective=None):
        """Why there is no model without each of the first rows, optionally of another objective."""
        objective = self.objective if objective is None else objective
        return causes(objective, (objective.without(row) for row in rows))

    def warn_undefined(self, rows):
        """Warn once of rows without a model after their removal, by name, and say why."""
        if len(rows):
            warn_undefined(self.row_names[rows], self.causes_without(rows))

    def warn_undefined_groups(self, deletion, names, what="group"):
        """Warn once of groups without a model after their removal, by name, and say why."""
        undefined = np.flatnonzero(deletion.undefined)
        after = (self.objective.without(deletion.groups[group]) for group in undefined)
        warn_undefined(names[undefined], causes(self.objective, after), what)

    def warn_undefined_members(self, rows, groups):
        """Warn once of rows of which the whole group has no model after its removal."""
        own = [next(group for group in groups if row in group) for row in rows[:LOOKED_AT]]
        found = causes(self.objective, (self.objective.without(group) for group in own))
        warn_undefined(self.row_names[rows], found)
