"""Influence on a whole network at given weights, with damping."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skinfluence._frames import DataFrame, data_frame
from skinfluence._validation import (
    AGGREGATES,
    as_index,
    check_at_least_zero,
    check_choice,
    check_count,
    check_positive,
    check_sample_weight,
    listed,
    warn,
)
from skinfluence.results import MostInfluential
from skinfluence.torch._function import NetworkFunction, in_chunks
from skinfluence.torch._inverse import CURVATURES, SOLVERS, DampedInverse
from skinfluence.torch._module import check_seed
from skinfluence.torch._newton_rows import newton_steps
from skinfluence.torch._products import RowLoss, SumOfLosses
from skinfluence.torch._ranked import most_influential
from skinfluence.torch._row_gradients import Blocks, store_of
from skinfluence.torch._rows import rows_and_labels
from skinfluence.torch._targets import target_of

METHODS = ("first_order", "newton")


@dataclass(frozen=True)
class SolveInfo:
    """How near the solves behind an answer came.

    Attributes
    ----------
    residual : ndarray of shape (n_solves,)
        ``||(H + damping I) x - b|| / ||b||`` of each right side b: of the targets, or of the
        training rows where their gradients are solved for.
    damping : float
    solver : str
    """

    residual: np.ndarray
    damping: float
    solver: str

    def to_frame(self) -> DataFrame:
        """Return one line for each solve, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns residual, damping and solver.
        """
        return data_frame(
            {"residual": self.residual, "damping": self.damping, "solver": self.solver}
        )

    def __repr__(self):
        """Solver, damping and the largest residual."""
        largest = f"{self.residual.max():.1e}" if len(self.residual) else "none"
        return f"SolveInfo({self.solver}, damping {self.damping:.3g}; largest residual {largest})"


class NetworkInfluence(BaseEstimator):
    r"""Influence of training rows on a whole network, at the weights it has.

    The network has been trained to a small value of

    .. math:: F(\theta) = \sum_i w_i \, l(y_i, f(x_i; \theta))
              + \tfrac12 \sum_j \lambda_j \theta_j^2,

    a sum, not a mean. On the removal of row i the weights move, to first order, by
    :math:`(H + \delta I)^{-1} w_i g_i` with :math:`g_i` the gradient of the row's loss, and a
    target changes by its gradient times that. H is the Hessian of F, or its generalised
    Gauss-Newton part.

    At a minimum with positive definite H and without damping this is the derivative of the
    retrained network's target in the row's weight. A network that is not at a minimum has no such
    derivative. What the formula then approximates is the minimiser of the *proximal Bregman*
    objective: the network that stays close to its present outputs (in the Bregman divergence of the
    loss) and weights (:math:`\delta / 2 \, \|\theta' - \theta\|^2`) while row i's loss is taken
    away; the gradient that training has left does not enter (Bae et al. 2022).

    Parameters
    ----------
    module : torch.nn.Module or fitted skorch net
        The trained network, in evaluation mode.
    train_loss : callable
        The loss of the training: `train_loss(outputs, labels)` of a batch, such as
        `torch.nn.functional.cross_entropy`; it is called on batches of one row.
    curvature : {"hessian", "ggn"}, default="hessian"
        "ggn" is positive semi-definite for every convex loss, also where the Hessian is not.
    solver : {"dense", "cg", "arnoldi", "lissa"}, default="dense"
        "dense": all eigenvalues of H, for small networks. "cg": conjugate gradients for many right
        sides at once, with a Nystroem preconditioner. "arnoldi": the leading eigenvectors, found
        once, for any number of right sides; what is outside their span is dropped. "lissa":
        the recursion of Agarwal et al. on samples of the rows, for comparison.
    damping : {"auto"} or float, default="auto"
        :math:`\delta`, in the units of the sum. "auto": 0 if H is positive definite; 1e-5 of the
        mean eigenvalue if it is singular; if it is indefinite 1.5 times its most negative
        eigenvalue plus 1 % of the mean one.
    penalty : float or mapping from parameter names to floats, default=0.0
        :math:`\lambda`. The weight decay of SGD on the mean loss of n rows is ``penalty / n``.
        Names that a mapping lacks have none.
    rank : int, default=100
        Eigenvectors of "arnoldi", and of the preconditioner of "cg".
    tol : float, default=1e-6
        Relative residual at which "cg" and "lissa" stop.
    max_iter : int, default=1000
        Products of "cg" and "lissa", at most.
    batch_size : int, optional
        Rows of a product at once; the rows of a sample, for "lissa". What does not fit is halved.
    solve_for : {"test", "train"}, default="test"
        What the solver is applied to: the gradients of the targets, or once those of all training
        rows, after which a test row costs one product. With `cache` they are kept on the disk.
    cache : str or path, optional
        Folder for the gradients of the training rows, in blocks. They are read again for later test
        rows, and an interrupted pass goes on where it was.
    random_state : int, default=0
        Seed of the random vectors of the solvers.
    device, dtype
        As in :class:`TangentFeatures`.

    Attributes
    ----------
    damping_ : float
        Damping used.
    gradient_norm_ : float
        Norm of the gradient of F that training has left; 0 at a minimum.
    n_parameters_ : int
    n_samples_ : int

    See Also
    --------
    TRAK : The same at lower cost, through a projection.
    NeuralFeatures : A frozen network with a convex head, which is answered exactly.

    References
    ----------
    Koh & Liang, Understanding black-box predictions via influence functions, ICML 2017.
    Bae, Ng, Lo, Ghassemi & Grosse, If influence functions are the answer, then what is the
    question?, NeurIPS 2022.

    Examples
    --------
    >>> import torch
    >>> from skinfluence.torch import NetworkInfluence
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator object at ...>
    >>> X = torch.randn(50, 3)
    >>> y = (X[:, 0] > 0).long()
    >>> module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    >>> explained = NetworkInfluence(module, torch.nn.functional.cross_entropy).fit(X, y)
    >>> explained.influence(X[:4], y[:4]).shape
    (4, 50)
    """

    def __init__(
        self,
        module: torch.nn.Module,
        train_loss: Callable,
        *,
        curvature: str = "hessian",
        solver: str = "dense",
        damping: str | float = "auto",
        penalty: float | Mapping[str, float] = 0.0,
        rank: int = 100,
        tol: float = 1e-6,
        max_iter: int = 1000,
        batch_size: int | None = None,
        solve_for: str = "test",
        cache: str | PathLike | None = None,
        random_state: int = 0,
        device: str | torch.device = "auto",
        dtype: object = None,
    ) -> None:
        self.module = module
        self.train_loss = train_loss
        self.curvature = curvature
        self.solver = solver
        self.damping = damping
        self.penalty = penalty
        self.rank = rank
        self.tol = tol
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.solve_for = solve_for
        self.cache = cache
        self.random_state = random_state
        self.device = device
        self.dtype = dtype

    def fit(self, X: object, y: object = None, sample_weight: object = None) -> "NetworkInfluence":
        """Bind the training rows, and prepare the solver.

        Parameters
        ----------
        X : array-like, torch.Tensor of shape (n_samples, ...), or DataLoader
            Training rows of the network; a loader gives pairs of rows and labels, in one order, and
            is read into memory.
        y : array-like or torch.Tensor of shape (n_samples, ...)
            Their labels, as `train_loss` takes them; None beside a loader.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in F.

        Returns
        -------
        NetworkInfluence
            The fitted object.

        Raises
        ------
        ValueError, TypeError
            For a module without parameters, in training mode, with weights that are NaN; for a
            loader that shuffles or leaves rows out; for rows that are not finite, labels that the
            outputs have no column for, and a loss that is not one number for each row.
        numpy.linalg.LinAlgError
            If H with the given damping is not positive definite.
        """
        self._check_settings()
        network = NetworkFunction(self.module, self.device, self.dtype)
        X, y = rows_and_labels(X, y)
        if y is None:
            raise ValueError("y is None, and X is no DataLoader: train_loss needs the labels.")
        self._loss, rows = RowLoss(self.train_loss), network.rows(X)
        self._n_outputs = network.n_outputs(rows)
        labels = self._loss.labels(y, rows, self._n_outputs, network)
        weight = torch.as_tensor(check_sample_weight(sample_weight, len(rows)))
        weight = weight.to(network.device, network.dtype)
        network.check_losses(self._loss, rows, labels)
        self._sum = SumOfLosses(
            network, self._loss, rows, labels, weight, self._penalties(network), self.batch_size
        )
        self.n_parameters_, self.n_samples_ = network.n_parameters, len(rows)
        self.gradient_norm_ = float(self._sum.gradient().norm())
        self._inverse = DampedInverse(
            self._sum,
            self.curvature,
            self.solver,
            self.damping,
            rank=self.rank,
            tol=self.tol,
            max_iter=self.max_iter,
            random_state=self.random_state,
            sample=self.batch_size,
        )
        self.damping_ = self._inverse.damping
        n, theta = len(rows), network.theta
        self._gradients = Blocks(self._row_gradients, n, theta, self._store("gradients"))
        self._solutions = Blocks(
            self._solve_rows,
            n,
            theta,
            None
            if self.solve_for == "test"
            else self._store("solutions", **self._solver_settings()),
            keep=self.solve_for == "train",
        )
        self._steps = Blocks(
            self._newton_steps,
            n,
            theta,
            self._store("steps", **self._solver_settings()),
            keep=True,
            width=self._n_outputs,
        )
        return self

    def influence(
        self,
        X_test: object = None,
        y_test: object = None,
        *,
        target: str | Callable = "loss",
        method: str = "first_order",
        aggregate: str | None = None,
        train_indices: object = None,
        return_info: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, SolveInfo]:
        """Change of a target at each test row if a training row were removed.

        Parameters
        ----------
        X_test : array-like, torch.Tensor of shape (n_test, ...), or DataLoader, optional
            Test rows, of a loader with their labels; none where the target is a function of the
            weights.
        y_test : array-like or torch.Tensor of shape (n_test, ...), optional
            Their labels.
        target : {"loss", "margin"} or callable, default="loss"
            "loss": the training loss. "margin": the log odds of the label of a classifier. With
            `X_test` a callable is another loss, `target(outputs, labels)` of a batch of one row;
            without `X_test` it is a function of the weights, `target(parameters)` with the
            parameters a dict of tensors by name, and gives one number.
        method : {"first_order", "newton"}, default="first_order"
            "first_order": the gradient of the target along the step. "newton": with the row's own
            Gauss-Newton curvature taken out of H, and the target evaluated at the moved weights;
            much nearer to the size of what retraining does, for one solve for each output of each
            training row.
        aggregate : {None, "mean", "sum"}, default=None
            Over the test rows; to first order it needs one solve in all.
        train_indices : array-like of int or bool mask, optional
            Training rows to remove, one at a time; all by default.
        return_info : bool, default=False
            Return a pair with the :class:`SolveInfo`.

        Returns
        -------
        ndarray of shape (n_test, n_train)
            After removal minus before: for a loss, positive: the row helps. One row for a target of
            the weights, no first axis with `aggregate`. By "newton" NaN, with one warning, for rows
            of leverage 1 or more.

        Raises
        ------
        ValueError
            For an unknown target, method or aggregate, missing labels, rows that are not finite, or
            labels that the outputs have no column for.
        numpy.linalg.LinAlgError
            If H with the damping turns out not to be positive definite.
        """
        check_is_fitted(self)
        check_choice("aggregate", aggregate, AGGREGATES)
        check_choice("method", method, METHODS)
        rows = as_index(train_indices, self.n_samples_)
        asked = self._target(X_test, y_test, target)
        if method == "newton":
            values, residual = self._by_steps(asked)
            if aggregate is not None:
                values = getattr(values, aggregate)(axis=0, keepdims=True)
        elif self.solve_for == "test":
            values, residual = self._by_target(asked.gradients(aggregate))
        else:
            values, residual = self._by_row(asked.gradients(aggregate))
        values = values[:, rows] if aggregate is None else values[0, rows]
        self._warn_undefined(values)
        info = SolveInfo(residual, self.damping_, self.solver)
        return (values, info) if return_info else values

    def self_influence(
        self, *, target: str | Callable = "loss", method: str = "first_order"
    ) -> np.ndarray:
        """Change of each training row's own target on its removal.

        Parameters
        ----------
        target, method
            As in :meth:`influence`.

        Returns
        -------
        ndarray of shape (n_train,)
            The diagonal of ``influence(X, y)`` of the training rows.
        """
        check_is_fitted(self)
        check_choice("method", method, METHODS)
        total = self._sum
        asked = target_of(target, total.network, self._loss, self._n_outputs, total.rows, total.y)
        values = np.empty(self.n_samples_)
        for part, block in self._steps if method == "newton" else self._solutions:
            if method == "newton":
                found = asked.own_changes(part, block["steps"])
            else:
                own = asked.gradients_of(part)
                found = total.weight[part] * (own * block["solved"]).sum(dim=1)
            values[part] = found.cpu().numpy()
        self._warn_undefined(values)
        return values

    def most_influential(
        self,
        X_test: object = None,
        y_test: object = None,
        *,
        k: int = 10,
        target: str | Callable = "loss",
        method: str = "first_order",
    ) -> MostInfluential:
        """Return the k most helpful and the k most harmful training rows of each test row.

        Parameters
        ----------
        X_test, y_test, target, method
            As in :meth:`influence`; a callable counts as a loss.
        k : int, default=10
            Rows of each kind.

        Returns
        -------
        MostInfluential
            Indices and values, each (n_test, k).

        Raises
        ------
        ValueError, numpy.linalg.LinAlgError
            As :meth:`influence`; ValueError also for a `k` out of range.
        """
        values = self.influence(X_test, y_test, target=target, method=method)
        return most_influential(
            lambda part: values[part], len(values), self.n_samples_, k, target == "margin"
        )

    def _check_settings(self):
        """Raise for a setting that has no meaning."""
        check_choice("curvature", self.curvature, CURVATURES)
        check_choice("solver", self.solver, SOLVERS)
        check_choice("solve_for", self.solve_for, ("test", "train"))
        if self.damping != "auto":
            check_at_least_zero("damping", self.damping)
        check_positive("tol", self.tol)
        check_seed(self.random_state)
        for name in ("rank", "max_iter", "batch_size"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))

    def _penalties(self, network):
        """Penalty of each parameter, (P,)."""
        given, named = self.penalty, network.named(torch.zeros_like(network.theta))
        if not isinstance(given, Mapping):
            check_at_least_zero("penalty", given)
            return torch.full_like(network.theta, float(given))
        unknown = sorted(set(given) - set(named))
        if unknown:
            raise ValueError(
                f"penalty has {unknown[0]!r}, which is no trainable parameter of the module; there "
                f"are {', '.join(named)}."
            )
        for name, value in given.items():
            check_at_least_zero(f"penalty[{name!r}]", value)
        parts = [torch.full_like(each, float(given.get(name, 0.0))) for name, each in named.items()]
        return torch.cat([part.reshape(-1) for part in parts])

    def _store(self, name, **settings):
        """Store of blocks of this network and these rows; None without a cache."""
        total = self._sum
        frozen = total.network.module.state_dict().values()
        loss = getattr(self.train_loss, "__qualname__", None) or repr(self.train_loss)
        tensors = [total.network.theta, total.rows, total.y, *frozen]
        if settings:
            tensors += [total.weight, total.penalty]
        return store_of(self.cache, name, {"loss": loss, **settings}, tensors)

    def _target(self, X_test, y_test, target):
        """What is measured at test rows, or of the weights."""
        network = self._sum.network
        if X_test is None:
            return target_of(target, network, self._loss, self._n_outputs)
        X_test, y_test = rows_and_labels(X_test, y_test, "y_test")
        rows = network.rows(X_test, "X_test", like=self._sum.rows)
        return target_of(target, network, self._loss, self._n_outputs, rows, y_test)

    def _by_target(self, gradients):
        """(Influence (m, n), residuals (m,)) with solves for the gradients (m, P) of the target."""
        solved, residual = self._inverse.solve(gradients.T)
        values = np.empty((len(gradients), self.n_samples_))
        for part, block in self._gradients:
            found = (block["gradients"] @ solved) * self._sum.weight[part, None]
            values[:, part] = found.T.cpu().numpy()
        return values, residual

    def _by_row(self, gradients):
        """(Influence (m, n), residuals (n,)) with solves for the gradients of the rows."""
        values = np.empty((len(gradients), self.n_samples_))
        residual = np.empty(self.n_samples_)
        for part, block in self._solutions:
            found = (gradients @ block["solved"].T) * self._sum.weight[part]
            values[:, part] = found.cpu().numpy()
            residual[part] = block["residual"].cpu().numpy()
        return values, residual

    def _row_gradients(self, part):
        """Gradients of the losses of a part of the rows."""
        return {"gradients": self._sum.row_gradients(part)}

    def _solve_rows(self, part):
        """(H + damping I)^-1 g_i of a part of the rows, and the residuals."""
        solved, residual = self._inverse.solve(self._gradients.read(part)["gradients"].T)
        return {"solved": solved.T.contiguous(), "residual": torch.as_tensor(residual)}

    def _newton_steps(self, part):
        """Steps of the weights on the removal of a part of the rows, and the residuals."""
        steps, residual = newton_steps(self._sum, self._inverse, part)
        return {"steps": steps, "residual": torch.as_tensor(residual)}

    def _by_steps(self, asked):
        """(Influence (m, n), residuals (n,)) with the target at the moved weights of each row."""
        values, residual = [], np.empty(self.n_samples_)
        size = self._sum.network.chunk(None)
        for part, block in self._steps:
            chunks = in_chunks(lambda some, s=block["steps"]: asked.changes(s[some]),
                               len(block["steps"]), size)  # fmt: skip
            values += [found.cpu().numpy() for _, found in chunks]
            residual[part] = block["residual"].cpu().numpy()
        return np.concatenate(values).T.astype(float), residual

    def _warn_undefined(self, values):
        """Warn of training rows (the last axis) without whom there is no minimum."""
        gone = np.flatnonzero(np.isnan(values).any(axis=tuple(range(values.ndim - 1))))
        if len(gone):
            warn(
                f"{len(gone)} rows have leverage 1 or more, and no Newton step (NaN): "
                f"{listed(gone)}. Raise damping, or use method='first_order'.",
                RuntimeWarning,
            )

    def _solver_settings(self):
        """What the solutions of the rows depend on, beside the rows and the network."""
        names = ("curvature", "solver", "rank", "tol", "max_iter", "batch_size", "random_state")
        return {**{name: getattr(self, name) for name in names}, "damping": self.damping_}
