"""The confident joint: how many labels of each class are wrong, from out-of-sample probabilities.

Northcutt, Jiang & Chuang, Confident learning: estimating uncertainty in dataset labels, Journal of
Artificial Intelligence Research 70, 2021.
"""

import numpy as np
from scipy.special import ndtri

# Probabilities this far below the threshold of their class count as confident.
SLACK = 1e-6
LEVEL = 0.95


def confident_counts(probabilities, codes):
    """Rows that are confidently of each class, by given label and by that class: (K, K).

    A row is confidently of class k if P_ik is at least the mean of P_.k over the rows with the
    given label k; of several such classes the most probable counts.

    Parameters
    ----------
    probabilities : ndarray of shape (n, K)
        Without NaN.
    codes : ndarray of int, shape (n,)
        Given labels.

    Returns
    -------
    ndarray of int, shape (K, K)
    """
    n, K = probabilities.shape
    size = np.bincount(codes, minlength=K)
    own = np.bincount(codes, weights=probabilities[np.arange(n), codes], minlength=K)
    thresholds = np.divide(own, size, out=np.full(K, np.inf), where=size > 0)
    confident = np.where(probabilities >= thresholds - SLACK, probabilities, -1.0)
    guess = confident.argmax(axis=1)
    sure = confident.max(axis=1) >= 0.0
    counts = np.zeros((K, K), dtype=int)
    np.add.at(counts, (codes[sure], guess[sure]), 1)
    return counts


def joint(counts, codes):
    """Number of rows by given and by true label, (K, K): each row of the counts scaled to its size.

    A class of which no row is confident is taken to be right.
    """
    K = len(counts)
    size = np.bincount(codes, minlength=K)
    counts = counts.astype(float)
    empty = counts.sum(axis=1) == 0
    counts[empty, empty] = 1.0
    return counts / counts.sum(axis=1, keepdims=True) * size[:, None]


def noise_matrix(found):
    """P(given label j | true label k) as entry (j, k), from a joint; its columns sum to 1."""
    total = found.sum(axis=0, keepdims=True)
    return np.divide(found, total, out=np.eye(len(found)), where=total > 0)


def expected_errors(counts, codes):
    """Expected number of wrong labels and its 95 % interval, (3,): value, low, high.

    The share of wrong labels of each class is that among its confident rows, a binomial share; the
    interval has the variances of these shares in it, not what the model does not know.
    """
    size = np.bincount(codes, minlength=len(counts))
    sure = counts.sum(axis=1)
    off = sure - np.diag(counts)
    share = np.divide(off, sure, out=np.zeros(len(counts)), where=sure > 0)
    value = float(size @ share)
    # Wilson's centre keeps the variance positive where no row is wrong.
    z = float(ndtri(0.5 + LEVEL / 2))
    centre = (off + z**2 / 2) / (sure + z**2)
    half = z * float(np.sqrt(np.sum(size**2 * centre * (1.0 - centre) / (sure + z**2))))
    return np.array([value, max(0.0, value - half), min(float(size.sum()), value + half)])
