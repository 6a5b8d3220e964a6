"""RemovalCertificate: what was taken out of a fit, how, and how far from the refit it may be."""

import hashlib
import json
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._typing import MatrixLike
from skinfluence._validation import check_sample_weight
from skinfluence._version import __version__
from skinfluence.deletion import JointFactor
from skinfluence.objective import Objective
from skinfluence.robustness._distance import RefitBound, bound_at

FORMAT = 1


@dataclass(frozen=True, eq=False)
class FitRecipe:
    """What an objective is made of but its rows.

    Attributes
    ----------
    skeleton : Objective
        At the parameters, with no row.
    encode : callable
        `encode(y, name)`: labels as the loss has them.
    class_weight : ndarray
        Factor of the weight of a row: one number, or one a class.
    space : KernelSpace or None
    """

    skeleton: Objective
    encode: object
    class_weight: np.ndarray
    space: object = None

    @classmethod
    def of(cls, objective, encode, class_weight, space=None):
        """Return the recipe of an objective, whose rows are left out."""
        return cls(objective.take(np.zeros(0, dtype=np.intp)), encode, class_weight, space)

    def design(self, X):
        """Return the design of rows as the estimator sees them."""
        bare = self.skeleton.design
        if self.space is not None:
            return bare.like(self.space.map(X))
        if np.ndim(X) != 2 and not hasattr(X, "tocsr"):
            raise ValueError(f"Expected 2D array of rows; got an array of shape {np.shape(X)}.")
        if X.shape[1] != bare.n_features:
            raise ValueError(
                f"the rows have {X.shape[1]} features, but the model has {bare.n_features}: pass "
                "them as the estimator sees them, after the earlier steps of a Pipeline."
            )
        return bare.like(X)

    def rounding(self, design):
        """Return what a prediction of each row loses to rounding at most, (m,): terms times eps."""
        coef, intercept = self.skeleton.design.unpack(self.skeleton.theta)
        terms = np.asarray(abs(design.X) @ np.abs(coef).T) + np.abs(intercept)
        n_sums = design.shape[1] + 2
        return n_sums * np.finfo(float).eps * np.sqrt(np.sum(terms**2, axis=1))

    def objective(self, X, y, sample_weight):
        """Return the objective of rows, labels and weights at the parameters."""
        bare, design = self.skeleton, self.design(X)
        codes = self.encode(y, "y_rest")
        weight = check_sample_weight(sample_weight, design.shape[0])
        if len(codes) != design.shape[0]:
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: X_rest has "
                f"{design.shape[0]} rows, y_rest {len(codes)}."
            )
        weight = weight * row_factors(self.class_weight, codes)
        return Objective(
            bare.loss,
            design,
            codes,
            weight,
            bare.fixed_penalty,
            bare.theta,
            bare.trained_loss,
            bare.row_penalty,
        )


def class_weights(objective, fitted):
    """Factor of the weight of a row: one number (1,), or one a class (K,)."""
    K = objective.loss.n_classes
    codes = np.arange(K, dtype=objective.y.dtype) if K else np.zeros(1)
    return objective.weights_as_fitted(codes, np.ones(len(codes)), fitted)


def row_factors(class_weight, codes):
    """Factors of the weights of rows with encoded labels."""
    return class_weight[codes.astype(np.intp)] if len(class_weight) > 1 else class_weight[0]


@dataclass(frozen=True)
class RemovalCheck:
    """What :meth:`RemovalCertificate.verify` found in the data.

    Attributes
    ----------
    n_rows : int
        Rows that were given.
    coefficient_bound : float
        Proven distance of any coefficient to the optimum on these rows; inf where none is proven.
    parameter_bound : float
        The same of all together, in the Euclidean norm.
    gradient_norm : float
        Norm of the gradient, what rounding may have added included.
    bound_by : str
        "self-concordance", "strong convexity", "quadratic" or "none".
    """

    n_rows: int
    coefficient_bound: float
    parameter_bound: float
    gradient_norm: float
    bound_by: str


@dataclass(frozen=True, eq=False)
class RemovalCertificate:
    """Proven distance of a model without some rows to the refit without them.

    Attributes
    ----------
    model : str
        Class of the estimator.
    removed, added : ndarray
        Names of the rows that left and of those that joined: their index, else their positions in
        the first fit, where rows that joined are counted on.
    n_rows : int
        Rows that remain.
    remaining : ndarray
        Names of the rows that remain, in order; not part of the JSON.
    remaining_hash : str
        SHA-256 of `remaining`: of whole numbers as little-endian 64-bit integers, of other names as
        a JSON list.
    method : str
        "closed form", "chord", "newton", or "refit" where the estimator was fitted again.
    reason : str
        Why it is not one of the first two; empty otherwise.
    n_passes, n_factors : int
        Passes over the rows, and factorisations of a curvature computed anew.
    coefficient_bound : float
        Proven distance of any one coefficient to that of the refit; inf where nothing is proven.
        Of an intercept beside columns far from zero, about whose origin it is then meant, and in a
        kernel's space, where the coefficients are not the dual ones, see `prediction_bound`.
    parameter_bound : float
        The same of all parameters together, in the Euclidean norm.
    gradient_norm : float
        Norm of the last gradient evaluated.
    bound_by : str
        "self-concordance", "strong convexity" (the gradient over the penalty), "quadratic", or
        "none".
    frozen : dict
        Settings that followed from the data and are now held fixed, by name.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence import InfluenceLogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = InfluenceLogisticRegression().fit(scale(X), y)
    >>> rest = clf.without([7])
    >>> rest.removal_certificate_.coefficient_bound < 1e-8
    True
    >>> import numpy as np
    >>> check = rest.removal_certificate_.verify(np.delete(scale(X), 7, axis=0), np.delete(y, 7))
    >>> check.coefficient_bound < 1e-8
    True
    """

    model: str
    removed: np.ndarray
    added: np.ndarray
    n_rows: int
    remaining: np.ndarray
    remaining_hash: str
    method: str
    reason: str
    n_passes: int
    n_factors: int
    coefficient_bound: float
    parameter_bound: float
    gradient_norm: float
    bound_by: str
    frozen: dict
    _recipe: FitRecipe | None = field(repr=False, compare=False, default=None)

    def prediction_bound(self, X: MatrixLike) -> np.ndarray:
        """Proven distance of each row's predictors to those of the refit.

        With what float64 loses of x'coef + intercept as `predict` adds it up, far from zero: beside
        the distance of the coefficients that may be most of it. That of a kernel is not counted.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows as the estimator sees them: after the earlier steps of a Pipeline.

        Returns
        -------
        ndarray of shape (n_samples,)
            In units of the decision function, or of the predictor before the link.
        """
        recipe = self._of_data()
        design = recipe.design(_rows(X))
        bound = np.sqrt(design.row_squares()) * self.parameter_bound
        return bound if recipe.space is not None else bound + recipe.rounding(design)

    def verify(
        self, X_rest: MatrixLike, y_rest: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> RemovalCheck:
        """Prove the distance to the refit again, from the remaining data alone.

        Nothing of the removal is used: the gradient and the curvature at the model's parameters are
        computed from these rows.

        Parameters
        ----------
        X_rest : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows that remain, as the estimator sees them: after the earlier steps of a Pipeline.
        y_rest : array-like of shape (n_samples,)
            Their labels or responses.
        sample_weight : array-like of shape (n_samples,), optional
            Their weights.

        Returns
        -------
        RemovalCheck
            Bounds, far above those of the certificate where these are not the rows that remain.

        Raises
        ------
        ValueError
            For labels that the model does not know, and for data of other shapes.
        numpy.linalg.LinAlgError
            If the curvature on these rows is singular.
        """
        objective = self._of_data().objective(_rows(X_rest), y_rest, sample_weight)
        if not objective.is_at_its_own_optimum:
            found = RefitBound(np.inf, np.inf, np.nan, "none")
        else:
            inner = objective.on_active_set() if objective.penalty.is_kinked else objective
            found = bound_at(inner, JointFactor.at(inner))
        return RemovalCheck(
            objective.n_rows, found.coefficient, found.parameter, found.gradient, found.by
        )

    def _of_data(self):
        """Return the recipe; raise in a copy that was read from JSON."""
        if self._recipe is None:
            raise ValueError(
                "this certificate has no parameters to verify: ask that of the model, "
                "removal_certificate_."
            )
        return self._recipe

    def to_json(self) -> str:
        """One line of JSON for an audit log.

        Returns
        -------
        str
            All attributes; bounds that are not finite are null.
        """
        line = {"format": FORMAT, "skinfluence": __version__}
        for name in self.__dataclass_fields__:
            if not name.startswith("_") and name != "remaining":
                line[name] = _plain(getattr(self, name))
        return json.dumps(line, sort_keys=True)

    def __repr__(self):
        """One sentence: how many rows, how, and what is proven."""
        what = f"{len(self.removed)} row{'s' if len(self.removed) != 1 else ''} out"
        if len(self.added):
            what = f"{len(self.added)} row{'s' if len(self.added) != 1 else ''} in"
        proven = "no distance proven"
        if np.isfinite(self.coefficient_bound):
            proven = f"every coefficient within {self.coefficient_bound:.1e} of the refit (proven)"
        return f"RemovalCertificate({self.model}: {what}, {self.n_rows} left; {proven})"


def certificate_of(removal, model, names, removed, added, frozen, recipe):
    """Return the RemovalCertificate of a Removal.

    Parameters
    ----------
    removal : Removal
    model : str
    names : ndarray
        Of the rows that remain, in order.
    removed, added : ndarray
        Names of the rows that left and joined.
    frozen : dict
    recipe : FitRecipe
    """
    return RemovalCertificate(
        model,
        np.asarray(removed),
        np.asarray(added),
        len(names),
        np.asarray(names),
        names_hash(names),
        removal.method,
        removal.reason,
        removal.n_passes,
        removal.n_factors,
        removal.bound.coefficient,
        removal.bound.parameter,
        removal.bound.gradient,
        removal.bound.by,
        frozen,
        recipe,
    )


def names_hash(names):
    """SHA-256 of names of rows, in order: whole numbers as 8 bytes each, else their JSON list."""
    names = np.asarray(names)
    if names.dtype.kind in "iu":
        return hashlib.sha256(names.astype("<i8").tobytes()).hexdigest()
    return hashlib.sha256(json.dumps(names.tolist(), default=str).encode()).hexdigest()


def _rows(X):
    """Rows as a design takes them."""
    return X.tocsr() if hasattr(X, "tocsr") else np.asarray(X)


def _plain(value):
    """Value of JSON: lists for arrays, null for numbers that are not finite."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return [_plain(entry) for entry in value.tolist()]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | bool | type(None)) else str(value)
