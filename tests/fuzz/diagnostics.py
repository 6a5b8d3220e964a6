"""The textbook's quantities in long double: by refits for least squares, by one step else."""

import numpy as np

from tests.fuzz import losses
from tests.fuzz.existence import is_penalised
from tests.fuzz.losses import LD, sigmoid
from tests.fuzz.oracle import ROUNDING, inverse_of

OF_DELETION = (
    "covratio",
    "deleted_residual",
    "cooks_distance",
    "dffits",
    "sigma_without",
    "studentized_residual",
    "dfbeta",
)
IN_UNITS_OF_SCALE = (
    "covratio",
    "cooks_distance",
    "dffits",
    "standardized_residual",
    "studentized_residual",
)
RANK_LOST = 1e-10
# Slopes, differences of two terms of about 1, of which a fit's tolerance of 1e-10 leaves no digit.
FITTED = 1e-9
# 1 - leverage below which its digits are lost beside the condition of the curvature.
NEARLY_ALONE = 1e-4


def leverages(oracle):
    """h_i = W_i z_i'H^-1 z_i and z_i'H^-1 z_i of one predictor, (n,)."""
    one_minus, quadratic, inverse = _one_minus_leverages(oracle, oracle.w)
    # As a difference from 1 a tiny leverage, of columns that are rounding, would be none.
    small = _curvatures(oracle, oracle.w) * quadratic
    return np.where(one_minus > 0.5, small, 1 - one_minus), quadratic, inverse


def _curvatures(oracle, w):
    """W_i of one predictor, (n,), with weights `w`."""
    curvature = oracle.spec.loss.curvature(oracle.objective.y, oracle.eta[None])
    return oracle.smooth._weighted(w[None], curvature)[0, :, 0, 0]


def _one_minus_leverages(oracle, w):
    """1 - h_i and z_i'H^-1 z_i of a fit with weights `w` and the same curvatures, (n,); H^-1."""
    Z = oracle.objective.Z
    inverse = inverse_of(oracle.hessian(w))
    quadratic = np.einsum("ij,jk,ik->i", Z, inverse, Z)
    W = _curvatures(oracle, w)
    one_minus = 1 - W * quadratic
    # Of a row that settles its own predictor 1 - h = 1 / (1 + W a), with the a of the others.
    for i in np.flatnonzero(one_minus < NEARLY_ALONE):
        rest = np.array(w)
        rest[i] = 0
        others = oracle.hessian(rest)
        # A penalty that the rows share stays whole: the leverage is of the fit with all rows.
        np.einsum("jj->j", others)[:] += w[i] * oracle.objective.shared.ravel()
        a = Z[i] @ inverse_of(others) @ Z[i]
        if np.isfinite(a) and a > 0:
            one_minus[i] = 1 / (1 + W[i] * a)
    return one_minus, quadratic, inverse


def leverage_blocks(oracle):
    """Trace of W_i A_i, (n,)."""
    return np.einsum("ikk->i", _blocks(oracle))


def magnification(oracle):
    """By how much the deletion of each row magnifies what its fitted predictor is off, (n,).

    1 / (1 - h) in the direction of its largest leverage. Beyond NEARLY_ALONE a closed form has
    another way to the digits, and no more is allowed for.
    """
    blocks = np.asarray(_blocks(oracle), dtype=float)
    known = np.isfinite(blocks).all(axis=(1, 2))
    h = np.ones(len(blocks))  # of no curvature the most that is allowed for
    h[known] = np.linalg.eigvals(blocks[known]).real.max(axis=1)
    return 1 / np.clip(1 - h, NEARLY_ALONE, 1)


def _blocks(oracle):
    """W_i A_i, (n, K, K)."""
    objective = oracle.smooth
    K, q = objective.shape
    at = np.flatnonzero((objective.free & oracle.active).ravel())
    inverse = np.zeros((K * q, K * q), dtype=LD)
    inverse[np.ix_(at, at)] = inverse_of(oracle.hessian()[np.ix_(at, at)])
    blocks = inverse.reshape(K, q, K, q)
    A = np.einsum("ij,kjlm,im->ikl", objective.Z, blocks, objective.Z)
    W = objective._weighted(
        oracle.w[None], objective.loss.curvature(objective.y, oracle.eta[None])
    )[0]
    return np.matmul(W, A)


def is_alone(oracle):
    """Rows of leverage 1: no other helps to fit them."""
    h, _, _ = leverages(oracle)
    return (1 - h <= (0 if is_penalised(oracle.objective) else RANK_LOST)) & (oracle.w > 0)


def is_least_squares(spec):
    return isinstance(spec.loss, losses.Squared | losses.SquaredLabel)


def _residuals(spec, labels, eta):
    """Response residuals of one predictor, in the units in which the model was fitted."""
    if type(spec.loss).__name__ == "LogBinary":
        return np.where(labels == 1, sigmoid(-eta), -sigmoid(eta))
    y = spec.loss.encode(labels)[:, 0]
    return y - (eta if is_least_squares(spec) else spec.loss.mean(eta))


def of_rows(oracle, problem):
    """Every field that is compared."""
    spec, objective, w = oracle.spec, oracle.objective, oracle.w
    Z = objective.Z
    h, _, _ = leverages(oracle)
    eta = oracle.eta[:, 0]
    labels = spec.labels
    residual = _residuals(spec, labels, eta)
    used = w > 0
    n, q = int(used.sum()), Z.shape[1]
    name = type(spec.loss).__name__
    if name == "LogBinary":
        variance = sigmoid(eta) * sigmoid(-eta)
    elif name == "Tweedie":
        variance = spec.loss.mean(eta) ** spec.loss.p
    else:
        variance = np.ones(len(w), dtype=LD)
    pearson = np.sqrt(w) * residual / np.sqrt(variance)
    trace = LD(q) if not is_penalised(objective) else h.sum()
    known = name == "LogBinary" or (name == "Tweedie" and spec.loss.p == 1)
    change, _, _ = oracle.change("newton", [[i] for i in range(len(w))], joint=False)
    freedom = n - trace
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma = LD(1) if known else np.sqrt((pearson**2).sum() / freedom)
        if not freedom > 1e-9 and not known:
            sigma = LD(np.nan)
        without = np.ones(len(w), dtype=LD) if known else _sigma_without(oracle, change, pearson, h)
        moved = (Z * change[:, 0]).sum(axis=1)
        unit = pearson / np.sqrt(1 - h)
        row_loss = spec.loss.value(objective.y, oracle.eta)
        deviance = np.sqrt(2 * w * row_loss) * np.sign(residual)
        if name == "Tweedie":  # a small one, a difference, is the Pearson residual in more digits
            small = np.abs(residual) < 1e-6 * np.abs(spec.loss.mean(eta))
            deviance = np.where(small, pearson, deviance)
        if is_least_squares(spec):
            studentized = unit / without
        else:
            studentized = np.sign(pearson) * np.sqrt(deviance**2 + h * unit**2) / without
        deleted = _residuals(spec, labels, eta + moved)
        covratio = (without / sigma) ** (2 * q) / (1 - h)
        found = {
            "leverage": np.where(used, h, 0),
            "residual": residual,
            "pearson_residual": pearson,
            "deviance_residual": deviance,
            "sigma": np.asarray(sigma),
            "standardized_residual": np.where(used, unit / sigma, np.nan),
            "studentized_residual": np.where(used, studentized, np.nan),
            "sigma_without": np.where(used, without, sigma),
            "deleted_residual": deleted,
            "cooks_distance": (unit / sigma) ** 2 * h / (1 - h) / trace,
            "dffits": unit * np.sqrt(h / (1 - h)) / without,
            "covratio": np.where(used, covratio, 1),
        }
    coef, intercept = oracle.basis.original(-change[:, 0])
    found["dfbeta"] = np.column_stack([intercept, coef]) if spec.intercept else coef
    # Where the residuals that a scale is made of are rounding, so is the scale.
    size = np.abs(np.asarray(spec.labels, dtype=LD)).max() if name != "LogBinary" else LD(1)
    if not known and not sigma > 1e-12 * size:
        keep = ("leverage", "residual", "pearson_residual", "dfbeta", "deleted_residual")
        found = {name: found[name] for name in keep}
    elif not known:
        exact = without <= 1e-6 * sigma
        for name in ("studentized_residual", "sigma_without", "dffits", "covratio"):
            found[name] = np.where(exact, np.nan, found[name])
    return found


def _sigma_without(oracle, change, pearson, h):
    """Scale of the refit without each row (least squares), or of one step."""
    spec, w, Z = oracle.spec, oracle.w, oracle.objective.Z
    n = int((w > 0).sum())
    penalised = is_penalised(oracle.objective)
    without = np.full(len(w), np.nan, dtype=LD)
    for i in np.flatnonzero(w > 0):
        rest = w.copy()
        rest[i] = 0
        with np.errstate(divide="ignore", invalid="ignore"):
            if is_least_squares(spec):
                eta = Z @ (oracle.theta[0] + change[i, 0])
                squares = (rest * _residuals(spec, spec.labels, eta) ** 2).sum()
            else:
                squares = (pearson**2).sum() - pearson[i] ** 2 / (1 - h[i])
            if penalised and is_least_squares(spec):
                freedom = _one_minus_leverages(oracle, rest)[0][rest > 0].sum()
            else:
                freedom = n - 1 - (h.sum() if penalised else LD(Z.shape[1]))
            if freedom > 1e-9 and squares > 0:
                without[i] = np.sqrt(squares / freedom)
    return without


def floor(name, oracle):
    """Rounding of what a field is made of."""
    eps = 256 * LD(np.finfo(float).eps)
    size = np.abs(oracle.eta).max()
    if not oracle.spec.loss.n_classes:
        size = max(size, np.abs(oracle.objective.y).max())
    if name == "residual":
        return eps * size
    if name == "deleted_residual":
        off, inverse = _rounded_residuals(oracle)
        Z, eta = oracle.objective.Z, oracle.eta[:, 0]
        off *= np.einsum("ij,jk,ik->i", Z, inverse, Z)
        up, down = (_residuals(oracle.spec, oracle.spec.labels, eta + s * off) for s in (1, -1))
        return eps * size + np.abs(up - down)
    if name in ("pearson_residual", "deviance_residual"):
        return eps * size * np.sqrt(oracle.w.max())
    if name in ("sigma", "sigma_without"):
        return eps * size * np.sqrt(oracle.w.max())
    if name == "dfbeta":
        return floor_of_steps(oracle)
    return LD(0)


def floor_of_steps(oracle, corrected=True):
    """Rounding (n, P) of the steps without each row, ordered as `_flat`.

    That of the coefficients, and where a row has one predictor that of its own residual, which is
    all there is of data that are fitted exactly. A `corrected` step divides it by 1 - leverage.
    """
    coef, intercept = oracle.basis.original(oracle.theta)
    eps = 256 * LD(np.finfo(float).eps)
    last = eps * max(np.abs(coef).max(initial=0), np.abs(intercept).max(initial=0))
    zero = np.zeros((oracle.n, *oracle.theta.shape), dtype=LD)
    if oracle.spec.loss.K > 1:
        return last + _flat(oracle, zero)
    off, inverse = _rounded_residuals(oracle, corrected)
    return last + np.abs(_flat(oracle, (off[:, None] * (oracle.objective.Z @ inverse))[:, None]))


def _rounded_residuals(oracle, corrected=True):
    """(rounding of each row's weighted residual in a step without it (n,), H^-1 where it moves)."""
    objective = oracle.objective
    off = LD(ROUNDING) * oracle._rounded_away(oracle.theta[None], oracle.w[None])[0, :, 0]
    if not objective.has_l1:
        h, _, inverse = leverages(oracle)
    else:
        at = np.flatnonzero((objective.free & oracle.active).ravel())
        inverse = np.zeros((objective.free.size, objective.free.size), dtype=LD)
        inverse[np.ix_(at, at)] = inverse_of(oracle.hessian()[np.ix_(at, at)])
        bend = oracle.smooth.loss.curvature(objective.y, oracle.eta)[:, 0, 0]
        h = oracle.w * bend * np.einsum("ij,jk,ik->i", objective.Z, inverse, objective.Z)
    if corrected:
        off = np.where(h < 1, off / np.where(h < 1, 1 - h, 1), 0)
    return np.nan_to_num(off, posinf=0), np.nan_to_num(inverse)


def rounding(name, oracle, want):
    """Relative rounding (n,) of a field: of one in units of a scale, that of the residuals too.

    A residual is right to the last digits of the response, however small it is itself, and grows by
    the row's leverage; the scale without the row is what it leaves of a sum of squares.
    """
    found = np.full(oracle.n, oracle.rounding)
    if name == "dfbeta":  # steps through the curvature without each row, which may be worse
        rows = [[i] for i in range(oracle.n)]
        known = oracle.change("newton", rows, joint=False)[2]
        return np.maximum(found, np.where(np.isfinite(known), known, 0))
    if name not in IN_UNITS_OF_SCALE or not want.get("sigma", 0) > 0:
        return found
    sigma, h = want["sigma"], want["leverage"]
    with np.errstate(divide="ignore", invalid="ignore"):
        last = floor("residual", oracle) / 16 * np.sqrt(oracle.w / (1 - h)) / sigma
        last *= 1 + np.abs(want["standardized_residual"]) * (sigma / want["sigma_without"]) ** 2
    power = 2 * oracle.objective.Z.shape[1] if name == "covratio" else 2
    return found + np.nan_to_num(np.asarray(power * last, dtype=float), posinf=0.0)


def covariance(oracle, kind, groups):
    """(Matrix in the order of parameter_covariance, rounding (P,), whether every refit is known).

    The rounding is that of its steps, each through the curvature without its own rows, as the root
    of a sum of squares.
    """
    w = oracle.w
    live = np.flatnonzero(w > 0)
    rows = [[i] for i in live]
    n, P = len(live), oracle.objective.free.sum()
    if kind in ("HC0", "HC1", "CR0"):
        change, undefined, rounding = oracle.change("first_order", rows)
    elif kind == "HC3":
        change, undefined, rounding = oracle.change("newton", rows, joint=False)
    elif kind == "CR3":
        rows = [live[groups[live] == g] for g in np.unique(groups[live])]
        change, undefined, rounding = oracle.change("exact", rows)
    else:
        change, undefined, rounding = oracle.change("exact", rows)
    steps = _flat(oracle, change)
    is_known = bool(np.isfinite(rounding).all() and not undefined.any())
    lost = np.sqrt((rounding**2).sum()) * np.abs(np.nan_to_num(steps)).max(axis=0, initial=0)
    if kind == "CR0":
        label = groups[live]
        steps = np.array([steps[label == g].sum(axis=0) for g in np.unique(label)])
    factor = LD(1)
    if kind == "HC1":
        factor = LD(n) / LD(n - P) if n > P else LD(np.nan)
    if kind == "jackknife":
        steps = steps - steps.mean(axis=0)
        factor = LD(n - 1) / LD(n)
    return factor * steps.T @ steps, lost, is_known


def without_gauge(oracle, matrix):
    """A covariance without the directions of which nothing is known."""
    gauge = oracle.objective.gauge
    K, q = gauge.shape
    if not gauge.any():
        return matrix
    order = np.roll(gauge[0], 1) if oracle.spec.intercept else gauge[0]
    centre = np.eye(K) - np.full((K, K), 1 / K)
    projection = np.zeros((K, q, K, q), dtype=LD)
    for j in range(q):
        projection[:, j, :, j] = centre if order[j] else np.eye(K)
    projection = projection.reshape(K * q, K * q)
    return projection @ matrix @ projection.T


def _flat(oracle, change):
    """Changes as the covariance orders them: output by output, the intercept first."""
    coef, intercept = oracle.basis.original(change)
    if type(oracle.spec.loss).__name__ == "Huber":
        return np.concatenate([intercept[:, :1], coef[:, 0], change[:, 1, -1:]], axis=1)
    if oracle.spec.intercept:
        coef = np.concatenate([intercept[:, :, None], coef], axis=2)
    return coef.reshape(len(change), -1)


def interval(oracle, change, live, alpha, method):
    """(m, 2, outputs) ends."""
    spec, loss = oracle.spec, oracle.spec.loss
    Z = oracle.objective.Z[live]
    eta = oracle.eta[live] + np.einsum("nj,nkj->nk", Z, change)
    labels = np.asarray(spec.labels, dtype=LD).reshape(len(oracle.w), -1)[live]
    residual = np.abs(labels - loss.mean(eta))
    # A response of weight w, its exposure, has 1 / w times the variance; test rows have weight 1.
    is_glm = type(loss).__name__ == "Tweedie" and loss.p >= 1
    if is_glm:
        residual = residual * np.sqrt(oracle.w[live])[:, None]
    least = LD(0) if is_glm else LD(-np.inf)
    n = len(residual)
    moved = loss.mean(oracle.eta_test[:, None] + np.einsum("mj,bkj->mbk", oracle.Z_test, change))
    position = int(np.ceil(LD(1 - alpha) * (n + 1) * (1 - 1e-12)))

    def quantile(values, axis):
        if position > n:
            shape = np.delete(values.shape, axis)
            return np.full(shape, np.inf)
        return np.take(np.sort(values, axis=axis), position - 1, axis=axis)

    width = quantile(residual, 0)
    if method == "jackknife":
        middle = loss.mean(oracle.eta_test)
        return np.maximum(np.stack([middle - width, middle + width], axis=1), least)
    if method == "jackknife+":
        low, high = -quantile(residual - moved, 1), quantile(moved + residual, 1)
    else:
        low, high = moved.min(axis=1) - width, moved.max(axis=1) + width
    return np.maximum(np.stack([low, high], axis=1), least)


def local_weights(oracle):
    """Normal curvature of perturbing each row's weight alone, in units of the dispersion."""
    objective, w, spec = oracle.objective, oracle.w, oracle.spec
    name = type(spec.loss).__name__
    h, _, inverse = leverages(oracle)
    g = w * spec.loss.slope(objective.y, oracle.eta)[:, 0]
    common = (objective.shared * oracle.theta)[0]
    delta = g[:, None] * objective.Z + w[:, None] * common
    found = 2 * np.einsum("ij,jk,ik->i", delta, inverse, delta)
    if name in ("Pinball", "EpsilonInsensitive") and np.abs(g[w > 0] / w[w > 0]).max() <= FITTED:
        return None
    if name in ("LogBinary", "Pinball", "EpsilonInsensitive", "SmoothHinge", "SquaredHinge"):
        return found
    if name == "Tweedie" and spec.loss.p == 1:
        return found
    if name == "Tweedie":
        residual = _residuals(spec, spec.labels, oracle.eta[:, 0])
        variance = spec.loss.mean(oracle.eta[:, 0]) ** spec.loss.p
        squares = (w * residual**2 / variance).sum()
    else:
        squares = (w * _residuals(spec, spec.labels, oracle.eta[:, 0]) ** 2).sum()
    freedom = (w > 0).sum() - h.sum()
    size = np.abs(np.asarray(spec.labels, dtype=LD)).max() ** 2 if not spec.loss.n_classes else 1
    if freedom <= 1e-9 or squares <= 1e-24 * size:
        return None
    return found / (squares / freedom)
