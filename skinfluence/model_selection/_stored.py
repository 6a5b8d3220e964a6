"""Scores of candidates through a folder of finished blocks."""

import json
from dataclasses import asdict, replace

import numpy as np

from skinfluence._frames import row_names
from skinfluence._store import Store, described, fingerprint_of
from skinfluence._validation import shown
from skinfluence.model_selection._candidates import Scored, parts_of, score_path
from skinfluence.model_selection._pooled_score import PooledScore

# Candidates of a block. Its first is fitted by scikit-learn, the others start from their neighbour.
BLOCK = 4


class StoredScores:
    """Scores of candidates, block by block: read if the block is finished, else computed.

    Parameters
    ----------
    folder : str or Path
    estimator, candidates, method
        Of the search.
    scorings : dict
        Scorers by name.
    data : tuple of X, y and the keyword arguments of fit

    Raises
    ------
    ValueError
        If a scorer is a function, by which folders cannot be told apart, or if the folder holds the
        scores of another search.
    """

    def __init__(self, folder, estimator, candidates, scorings, method, data):
        for name, scoring in scorings.items():
            if not (scoring is None or isinstance(scoring, str)):
                raise ValueError(
                    "with a checkpoint each scorer should be named by a string; got "
                    f"{shown(scoring)} for {name!r}."
                )
        X, y, params = data
        keywords = sorted(params)
        self.names = row_names(X, y)
        self.store = Store(
            folder,
            parameters={
                "question": "leave-one-out search",
                "estimator": described(estimator),
                "param_grid": [described(params) for params in candidates],
                "scoring": scorings,
                "method": method,
                "fit_params": keywords,
                "block": BLOCK,
            },
            fingerprint=fingerprint_of(X, y, *(params[name] for name in keywords)),
        )

    @staticmethod
    def cut(groups):
        """Groups of candidates, cut into blocks."""
        return parts_of(groups, BLOCK)

    def score(self, members, path, candidates):
        """Return the Scored of some candidates of a path, which are at `members` of the grid."""

        def compute():
            """The scores as one text."""
            kept = [_without_names(found) for found in score_path(path, candidates)]
            return {"scored": np.array(json.dumps([asdict(found) for found in kept]))}

        found = self.store.once(f"candidates-{members[0]:06d}", compute)
        return [self._restored(one) for one in json.loads(str(found["scored"]))]

    def _restored(self, kept):
        """Return a Scored from what JSON has made of it, with the names of its rows."""
        found = Scored(**kept)
        undefined = {
            int(row): (int(row) if self.names is None else self.names[int(row)], cause)
            for row, (_, cause) in found.undefined.items()
        }
        scores = {name: PooledScore(**one) for name, one in found.scores.items()}
        return replace(found, scores=scores, undefined=undefined)


def _without_names(found):
    """Return a Scored without the names of its rows, which may be anything."""
    return replace(found, undefined={row: (None, why) for row, (_, why) in found.undefined.items()})
