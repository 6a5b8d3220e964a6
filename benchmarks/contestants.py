"""Who answers: functions of a Problem that return a question, a function without arguments.

A question starts from the fitted model with nothing cached, and returns the change of the losses on
removal: (n_test, n_train) for the matrix, (n_train,) for the rows' own. Preparation (imports, the
fit, wrapping data in tensors) is not timed. Nothing here is imported before it is asked for: a
contestant may live in another interpreter.
"""

from functools import partial

import numpy as np


def _fitted(problem):
    """Our model, fitted."""
    from skinfluence import InfluenceLogisticRegression

    solver = "lbfgs" if hasattr(problem.X, "indptr") else "newton-cholesky"
    model = InfluenceLogisticRegression(C=problem.C, solver=solver, max_iter=1000)
    return model.fit(problem.X, problem.y)


def _uncached(problem, ask):
    """Ask a fitted model, without what it remembers of earlier questions."""
    model = _fitted(problem)

    def question():
        model.__dict__.pop("_problem_cache", None)
        return ask(model)

    return question


def skinfluence_matrix(problem, **options):
    """`influence`."""
    test = problem.X_test, problem.y_test
    return _uncached(problem, lambda model: model.influence(*test, **options))


def skinfluence_some(problem, n_rows, **options):
    """`influence` of a few training rows, the refitted ones first."""
    others = np.setdiff1d(np.arange(n_rows + len(problem.rows)), problem.rows)
    rows = np.concatenate([problem.rows, others])[:n_rows]
    return skinfluence_matrix(problem, train_indices=rows, **options)


def skinfluence_self(problem, **options):
    """`self_influence`."""
    return _uncached(problem, lambda model: model.self_influence(**options))


def skinfluence_topk(problem, **options):
    """`most_influential`."""
    return _uncached(
        problem, lambda model: model.most_influential(problem.X_test, problem.y_test, **options)
    )


def skinfluence_loo(problem, method):
    """`loo_estimate`, as the change of the rows' own losses."""

    def ask(model):
        before = np.logaddexp(0.0, (1 - 2 * problem.y) * _scores(problem, problem.X)[:, 0])
        return model.loo_estimate(method=method).loss - before

    return _uncached(problem, ask)


# -- refits --------------------------------------------------------------------------------------


def refits(problem, *, warm):
    """scikit-learn's fastest solver without each sampled row; counted for all rows."""
    from sklearn.linear_model import LogisticRegression

    wide = problem.X.shape[1] > len(problem.y)
    options = (
        {"solver": "lbfgs", "tol": 1e-9} if wide else {"solver": "newton-cholesky", "tol": 1e-8}
    )
    keep = np.ones(len(problem.y), dtype=bool)

    def own_loss(row, coef, intercept):
        return np.logaddexp(0.0, (1 - 2 * problem.y[row]) * (problem.X[row] @ coef + intercept))

    def question():
        changes = []
        for row in problem.rows:
            keep[row] = False
            model = LogisticRegression(C=problem.C, max_iter=10_000, **options)
            if warm:
                model.set_params(warm_start=True)
                model.coef_, model.intercept_ = problem.coef.copy(), problem.intercept.copy()
                model.classes_ = np.array([0, 1])
            model.fit(problem.X[keep], problem.y[keep])
            keep[row] = True
            before = own_loss(row, problem.coef[0], problem.intercept[0])
            changes.append(own_loss(row, model.coef_[0], model.intercept_[0]) - before)
        return np.array(changes)

    question.share = len(problem.rows) / len(problem.y)
    return question


def bbai(problem):
    """Approximate leave-one-out of bbai, which cannot do without the fit."""
    from bbai.glm import LogisticRegression

    def question():
        model = LogisticRegression(C=problem.C).fit(problem.X, problem.y)
        before = np.logaddexp(0.0, (1 - 2 * problem.y) * _scores(problem, problem.X)[:, 0])
        return np.abs(model.aloocvs_) - before

    return question


# -- the formula, in a page of NumPy -------------------------------------------------------------


def _design(X):
    """[X, 1]."""
    return np.hstack([X, np.ones((len(X), 1))])


def _scores(problem, X):
    """Predictors (n, K) at the optimum, K = 1 for two classes."""
    return X @ problem.coef.T + problem.intercept


def _probabilities(problem, X):
    """Class probabilities (n, K), for two classes that of the second (n, 1)."""
    eta = _scores(problem, X)
    if eta.shape[1] == 1:
        return 1.0 / (1.0 + np.exp(-eta))
    eta = np.exp(eta - eta.max(axis=1, keepdims=True))
    return eta / eta.sum(axis=1, keepdims=True)


def _labels(problem, y):
    """Labels as the probabilities have them."""
    return np.eye(problem.n_classes)[y] if problem.n_classes > 2 else y[:, None]


def numpy_formula(problem):
    """First order by Cholesky: test gradients, H^-1, training gradients."""
    from scipy.linalg import cho_factor, cho_solve

    def question():
        Z, Z_test = _design(problem.X), _design(problem.X_test)
        P, K = _probabilities(problem, problem.X), len(problem.coef)
        q = Z.shape[1]
        H = np.empty((K * q, K * q))
        for k in range(K):
            for m in range(K):
                w = P[:, k] * ((k == m) - P[:, m]) if K > 1 else P[:, 0] * (1 - P[:, 0])
                H[k * q : (k + 1) * q, m * q : (m + 1) * q] = Z.T @ (w[:, None] * Z)
        strength = np.tile(np.append(np.full(q - 1, 1 / problem.C), 1e-8 * (K > 1)), K)
        H[np.diag_indices_from(H)] += strength
        G = (P - _labels(problem, problem.y))[:, :, None] * Z[:, None, :]
        P_test = _probabilities(problem, problem.X_test)
        T = (P_test - _labels(problem, problem.y_test))[:, :, None] * Z_test[:, None, :]
        solved = cho_solve(cho_factor(H), T.reshape(len(T), -1).T)
        return solved.T @ G.reshape(len(G), -1).T

    return question


# -- other libraries -----------------------------------------------------------------------------


def pyinfluence(problem):
    """InfluenceFunctions, undamped; its scores are calibrated to removal."""
    from pyinfluence import InfluenceFunctions
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=problem.C, solver="newton-cholesky", tol=1e-12)
    model.fit(problem.X, problem.y)

    def question():
        explainer = InfluenceFunctions(mode="loss", damping=0.0)
        return explainer.fit(model, problem.X, problem.y).explain(problem.X_test, problem.y_test)

    return question


def _torch_model(problem):
    """The optimum as a linear layer in float64, its summed loss, and the data as tensors."""
    import torch

    K = len(problem.coef)
    model = torch.nn.Linear(problem.X.shape[1], K).double()
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(problem.coef))
        model.bias.copy_(torch.from_numpy(problem.intercept))
    if K > 1:
        loss, label = torch.nn.functional.cross_entropy, torch.from_numpy
    else:
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        label = lambda y: torch.from_numpy(y.astype(float)[:, None])  # noqa: E731
    train = torch.from_numpy(problem.X), label(problem.y)
    test = torch.from_numpy(problem.X_test), label(problem.y_test)
    return model, loss, train, test


def captum(problem):
    """NaiveInfluenceFunction of full rank: eigenvectors of the explicit Hessian."""
    import torch
    from captum.influence._core.influence_function import NaiveInfluenceFunction

    model, _, train, test = _torch_model(problem)
    K = len(problem.coef)
    loss = torch.nn.BCEWithLogitsLoss if K == 1 else torch.nn.CrossEntropyLoss
    data, path = torch.utils.data.TensorDataset(*train), "unused"

    def question():
        explainer = NaiveInfluenceFunction(
            model,
            data,
            path,
            checkpoints_load_func=lambda *_: 1.0,
            loss_fn=loss(reduction="sum"),
            batch_size=len(data),
            sample_wise_grads_per_batch=True,
            projection_dim=K * (problem.X.shape[1] + 1),
            hessian_reg=1.0 / problem.C,
            hessian_inverse_tol=0.0,
        )
        return explainer.influence(test).detach().numpy()

    return question


def dattri(problem):
    """IFAttributorExplicit, the training set as one batch."""
    import torch
    from dattri.algorithm.influence_function import IFAttributorExplicit
    from dattri.task import AttributionTask

    model, loss, train, test = _torch_model(problem)
    loaders = [
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*side), batch_size=len(side[0]))
        for side in (train, test)
    ]

    def summed(params, batch):
        x, y = batch
        return loss(torch.func.functional_call(model, params, x), y, reduction="sum")

    def question():
        task = AttributionTask(loss_func=summed, model=model, checkpoints=model.state_dict())
        explainer = IFAttributorExplicit(task, regularization=1.0 / problem.C)
        explainer.cache(loaders[0])
        with torch.no_grad():
            return explainer.attribute(*loaders).numpy().T

    return question


def pydvl(problem):
    """DirectInfluence, the training set as one batch; of the mean loss, hence the 1 / n."""
    import torch
    from pydvl.influence import InfluenceMode
    from pydvl.influence.torch import DirectInfluence

    model, loss, train, test = _torch_model(problem)
    n = len(problem.y)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*train), batch_size=n)

    def question():
        explainer = DirectInfluence(model, loss, regularization=1.0 / (problem.C * n)).fit(data)
        up = explainer.influences(*test, *train, mode=InfluenceMode.Up)
        return up.detach().numpy() / n

    return question


# -- the table of them ---------------------------------------------------------------------------

CONTESTANTS = {
    "skinfluence first_order": partial(skinfluence_matrix, method="first_order"),
    "skinfluence newton": partial(skinfluence_matrix, method="newton"),
    "skinfluence exact": partial(skinfluence_matrix, method="exact"),
    "skinfluence first_order by CG": partial(
        skinfluence_matrix, method="first_order", curvature="cg"
    ),
    "skinfluence newton, 50 rows": partial(skinfluence_some, n_rows=50, method="newton"),
    "skinfluence self, newton": partial(skinfluence_self, method="newton"),
    "skinfluence most_influential": partial(skinfluence_topk, k=10, method="newton"),
    "skinfluence most_influential, first_order": partial(
        skinfluence_topk, k=10, method="first_order"
    ),
    "skinfluence loo, exact": partial(skinfluence_loo, method="exact"),
    "skinfluence loo, newton": partial(skinfluence_loo, method="newton"),
    "scikit-learn refits, cold": partial(refits, warm=False),
    "scikit-learn refits, warm": partial(refits, warm=True),
    "bbai": bbai,
    "NumPy formula": numpy_formula,
    "pyinfluence": pyinfluence,
    "captum": captum,
    "dattri": dattri,
    "pyDVL": pydvl,
}

# Distributions whose version the table shows, and whose absence is a line of it.
PACKAGES = {name: name.lower() for name in ("pyinfluence", "captum", "dattri", "pyDVL", "bbai")}
