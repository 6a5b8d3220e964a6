"""SubsetTruths: what a model does when it is retrained on random subsets of its rows."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import sklearn
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skinfluence._frames import DataFrame, Result, data_frame
from skinfluence._parallel import tracked
from skinfluence._store import Store, described, remove_finished, remove_parts, write_whole
from skinfluence._typing import MatrixLike
from skinfluence._validation import check_count
from skinfluence._version import __version__
from skinfluence.evaluation._comparison import rank_correlation
from skinfluence.evaluation._outputs import target_name
from skinfluence.evaluation._retraining import (
    Task,
    retraining,
    warn_undefined_subsets,
)
from skinfluence.evaluation._subsets import draw_subsets, seed_of, subset_size

# The layout of the file, of which another is refused.
FORMAT = 1


@dataclass(frozen=True, eq=False, repr=False)
class SubsetTruths(Result):
    """Outputs of a model retrained on random subsets of its training rows, to be predicted.

    Made by :meth:`compute`, kept by :meth:`save` in one file, and good for any number of
    attributions: retraining is the dear part of :func:`linear_datamodeling_score`.

    Attributes
    ----------
    outputs : ndarray of shape (n_subsets, n_repeats, n_test)
        The target at each test row; NaN where a subset has no model.
    full : ndarray of shape (n_test,)
        The same of the model of all rows, the mean of the repeats.
    seed : int
        From which the subsets are drawn again.
    n_train, size : int
        Rows, and rows of a subset.
    target : str
        What was measured.
    estimator : str
        Class and parameters of the model, as JSON.
    fingerprint : str
        Hash of the training and test rows, labels and weights.
    route : {"changes", "refits"}
        How it was retrained.
    is_random : bool
        Whether the model has a random state: two of its repeats differ.
    versions : dict
        Of the libraries that computed the outputs.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skinfluence.evaluation import SubsetTruths
    >>> X, y = load_iris(return_X_y=True)
    >>> truths = SubsetTruths.compute(
    ...     LogisticRegression(), X[::2], y[::2], X[1::2], y[1::2], n_subsets=10, random_state=0
    ... )
    >>> truths
    SubsetTruths(10 subsets of 38 of 75 rows, margin at 75 test rows, by changes)
    """

    outputs: np.ndarray
    full: np.ndarray
    seed: int
    n_train: int
    size: int
    target: str
    estimator: str
    fingerprint: str
    route: str
    is_random: bool
    versions: dict = field(default_factory=dict)

    @classmethod
    def compute(
        cls,
        estimator: BaseEstimator,
        X: MatrixLike,
        y: ArrayLike,
        X_test: MatrixLike,
        y_test: ArrayLike,
        *,
        n_subsets: int = 100,
        fraction: float = 0.5,
        target: str | Callable = "margin",
        sample_weight: ArrayLike | None = None,
        method: str = "auto",
        n_repeats: int | None = None,
        path: str | Path | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        progress: Callable | None = None,
    ) -> Self:
        """Retrain an estimator on random subsets of its training rows.

        Parameters
        ----------
        estimator : estimator
            Any classifier or regressor; clones of it are fitted.
        X, y : array-like
            Training rows and labels.
        X_test, y_test : array-like
            Rows and labels at which the target is read.
        n_subsets : int, default=100
            How many subsets, each drawn without replacement.
        fraction : float, default=0.5
            Share of the training rows in each, above 0 and below 1.
        target : str or callable, default="margin"
            Of a classifier "margin" (log odds of the label; of scores or votes where there are no
            odds), "loss" (log loss), "probability" (of the label) or "decision_function" (of two
            classes); of a regressor "prediction" or "loss" (squared error); or a function of
            (model, X_test, y_test) that returns (n_test,). By changes it is the target of the same
            name in :meth:`InfluenceExplainer.influence`: of a regressor the loss that it minimises,
            half the squared error under least squares.
        sample_weight : array-like of shape (n_train,), optional
            Weights of the training rows.
        method : {"auto", "changes", "refits"}, default="auto"
            "changes": the optimum on each subset, from that of all rows, with what depends on the
            data held fixed as everywhere in this library (earlier steps of a Pipeline, balanced
            class weights, gamma="scale"). "refits": clones of the whole estimator. "auto": changes
            where the estimator has influence methods, else refits.
        n_repeats : int, optional
            Fits of each subset, of which each gets random states of its own; by default 2 of an
            estimator that has a random state, from which the noise ceiling follows, and else 1.
        path : str or Path, optional
            The file to keep the truths in. Work that was interrupted is resumed from the blocks
            beside it; a finished file is loaded. Either is refused if it is of other rows, another
            estimator or other arguments. Needs an integer `random_state`.
        random_state : int, RandomState instance or None, default=None
            Seed of the subsets and of the random states.
        n_jobs : int, optional
            Workers for refits, as in joblib.
        progress : callable, optional
            Wraps the iteration over blocks of subsets, such as ``tqdm.auto.tqdm``; those that were
            finished before count.

        Returns
        -------
        SubsetTruths
            The outputs, and from what they come.

        Raises
        ------
        ValueError
            For a fraction outside (0, 1), labels of another number, an unknown target, fewer than
            two subsets that have a model, or a file of another computation.

        Warns
        -----
        RuntimeWarning
            If subsets have no model, such as those without a class.
        """
        task = Task.of(estimator, X, y, X_test, y_test, target, sample_weight)
        size = subset_size(fraction, task.n_train)
        check_count("n_subsets", n_subsets)
        seed = seed_of(random_state, path)
        ways = retraining(task, method)
        if n_repeats is None:
            n_repeats = 2 if ways.is_random else 1
        check_count("n_repeats", n_repeats)
        asked = {"seed": seed, "size": size, **_question(task)}
        asked |= {"route": ways.route, "is_random": ways.is_random}
        shape = (n_subsets, n_repeats)
        if path is not None and Path(path).exists():
            found = cls.load(path)._checked(asked, shape, task.fingerprint)
            _clear(Path(path))
            return found
        subsets = draw_subsets(seed, n_subsets, task.n_train, size)
        outputs = _all_outputs(ways, asked, task, subsets, n_repeats, path, n_jobs, progress)
        full = np.mean(
            [ways.full(_generator(seed, n_subsets, r)) for r in range(n_repeats)], axis=0
        )
        found = cls(outputs, full, fingerprint=task.fingerprint, versions=_versions(), **asked)
        if path is not None:
            found.save(path)
            _clear(Path(path))
        warn_undefined_subsets(found.undefined, task, subsets)
        return found

    # -- what was drawn ----------------------------------------------------------------------------

    @cached_property
    def subsets(self) -> np.ndarray:
        """Which rows each subset has, drawn from the seed.

        Returns
        -------
        ndarray of bool, shape (n_subsets, n_train)
            True for the rows that the model is trained on.
        """
        return draw_subsets(self.seed, len(self.outputs), self.n_train, self.size)

    @property
    def undefined(self) -> np.ndarray:
        """Whether a subset has no model.

        Returns
        -------
        ndarray of bool, shape (n_subsets,)
            True where an output is NaN.
        """
        return np.isnan(self.outputs.sum(axis=(1, 2)))

    @property
    def mean_outputs(self) -> np.ndarray:
        """Mean of the repeats.

        Returns
        -------
        ndarray of shape (n_subsets, n_test)
            What a prediction is compared with.
        """
        return self.outputs.mean(axis=1)

    @property
    def ceiling(self) -> np.ndarray:
        """Rank correlation that a perfect prediction would have with each test row.

        1 of a model without a random state. Of others the root of the reliability of the mean
        outputs: the rank correlation of two halves of the repeats, r, is that of each half, and
        2 r / (1 + r) that of all (Spearman and Brown). NaN with one repeat, which says nothing of
        the noise, and where an output is the same for all subsets.

        Returns
        -------
        ndarray of shape (n_test,)
            Between 0 and 1.
        """
        n_repeats = self.outputs.shape[1]
        if not self.is_random:
            return np.ones(self.outputs.shape[2])
        if n_repeats < 2:
            return np.full(self.outputs.shape[2], np.nan)
        outputs = self.outputs[~self.undefined]
        half = n_repeats // 2
        first, second = outputs[:, :half], outputs[:, half : 2 * half]
        r = rank_correlation(first.mean(axis=1), second.mean(axis=1))
        r = np.maximum(r, 0.0)  # by chance below 0: nothing to be predicted
        return np.sqrt(2.0 * r / (1.0 + r))

    def to_frame(self) -> DataFrame:
        """Return one line for each subset, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Mean outputs, one column for each test row.
        """
        return data_frame(dict(enumerate(self.mean_outputs.T)))

    # -- the file ----------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the truths to one file, which is there when it is complete.

        Parameters
        ----------
        path : str or Path
            Of the file, in NumPy's npz format, whatever it is called.
        """
        meta = {name: getattr(self, name) for name in _META}
        meta |= {"format": FORMAT, "subsets": _hash(self.subsets)}
        arrays = {"outputs": self.outputs, "full": self.full, "meta": np.array(json.dumps(meta))}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: np.savez(file, **arrays))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the truths that :meth:`save` has written.

        Parameters
        ----------
        path : str or Path
            Of the file.

        Returns
        -------
        SubsetTruths
            The same to the last bit.

        Raises
        ------
        ValueError
            If the file is damaged, of another format, or its subsets cannot be drawn again from
            its seed by this version of NumPy.
        """
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(str(arrays["meta"]))
        except (zipfile.BadZipFile, ValueError, EOFError, KeyError) as error:
            raise ValueError(f"{path} is no file of truths, or damaged: {error}.") from error
        if meta.get("format") != FORMAT:
            raise ValueError(
                f"{path} has the format {meta.get('format')!r}, and this version of the library "
                f"reads {FORMAT}. Compute the truths again."
            )
        found = cls(arrays["outputs"], arrays["full"], **{name: meta[name] for name in _META})
        if _hash(found.subsets) != meta["subsets"]:
            raise ValueError(
                f"NumPy {np.__version__} draws other subsets from the seed {found.seed} than NumPy "
                f"{found.versions.get('numpy')} did for {path}. Compute the truths again."
            )
        return found

    def check(
        self,
        estimator: BaseEstimator,
        X: MatrixLike,
        y: ArrayLike,
        X_test: MatrixLike,
        y_test: ArrayLike,
        target: str | Callable,
        sample_weight: ArrayLike | None = None,
    ) -> None:
        """Raise where the truths are those of another question.

        Parameters
        ----------
        estimator, X, y, X_test, y_test, target, sample_weight
            As in :meth:`compute`.

        Raises
        ------
        ValueError
            Naming what differs.
        """
        task = Task.of(estimator, X, y, X_test, y_test, target, sample_weight)
        self._checked(_question(task), None, task.fingerprint)

    def _checked(self, asked, shape, fingerprint):
        """Return the truths; raise where they are not what was asked for."""
        asked = {**asked, "fingerprint": fingerprint}
        pairs = [(name, getattr(self, name), value) for name, value in asked.items()]
        if shape is not None:
            pairs.append(("(n_subsets, n_repeats)", self.outputs.shape[:2], shape))
        for name, one, other in pairs:
            if one != other:
                what = "the fingerprint of the data" if name == "fingerprint" else name
                raise ValueError(
                    f"the truths are of another computation: {what} is {one!r} in them, and "
                    f"{other!r} was asked for. Compute them anew for these."
                )
        return self

    def __repr__(self):
        """How many subsets of how many rows, what at how many test rows, and how."""
        m, n_repeats, n_test = self.outputs.shape
        each = f" {n_repeats} times" if n_repeats > 1 else ""
        return (
            f"SubsetTruths({m} subsets of {self.size} of {self.n_train} rows{each}, {self.target} "
            f"at {n_test} test rows, by {self.route})"
        )


_META = (
    "seed",
    "n_train",
    "size",
    "target",
    "estimator",
    "fingerprint",
    "route",
    "is_random",
    "versions",
)


def _question(task):
    """What is asked of which model, beside the data."""
    return {
        "n_train": task.n_train,
        "target": target_name(task.target),
        "estimator": described(task.estimator),
    }


def _generator(seed, j, repeat):
    """Generator of the random states of one fit."""
    return np.random.default_rng([seed, j, 1 + repeat])


def _all_outputs(ways, asked, task, subsets, n_repeats, path, n_jobs, progress):
    """Outputs (n_subsets, n_repeats, n_test), each block from the store if it is finished."""
    pairs = [
        (np.flatnonzero(subset), _generator(asked["seed"], j, repeat))
        for j, subset in enumerate(subsets)
        for repeat in range(n_repeats)
    ]
    blocks = [pairs[start : start + ways.block] for start in range(0, len(pairs), ways.block)]
    names = [f"outputs-{k:05d}" for k in range(len(blocks))]
    shape = (len(subsets), n_repeats, task.n_test)
    if path is None:
        return np.concatenate(list(ways.outputs(blocks, n_jobs, progress))).reshape(shape)
    parameters = {**asked, "n_subsets": shape[0], "n_repeats": n_repeats, **_versions()}
    parameters.pop("skinfluence")
    store = Store(_parts_of(path), parameters=parameters, fingerprint=task.fingerprint)
    pairs = zip(names, blocks, strict=True)
    left = {name: block for name, block in pairs if not store.finished(name)}
    with closing(ways.outputs(list(left.values()), n_jobs)) as found:
        for name in tracked(names, progress):
            if name in left:
                store.write(name, outputs=next(found))
    return np.concatenate([store.read(name)["outputs"] for name in names]).reshape(shape)


def _parts_of(path):
    """Folder of the blocks of a file that is not complete yet."""
    return Path(path).with_name(Path(path).name + ".parts")


def _clear(path):
    """Remove what is of no more use once the file is complete.

    Asked of a finished file too: a process may have been ended between the two.
    """
    remove_parts(path)
    remove_finished(_parts_of(path), r"outputs-\d{5}\.npz")


def _versions():
    """Versions of the libraries that the outputs depend on."""
    return {
        "skinfluence": __version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
    }


def _hash(subsets):
    """Hash of booleans."""
    return hashlib.blake2b(np.packbits(subsets).tobytes(), digest_size=16).hexdigest()
