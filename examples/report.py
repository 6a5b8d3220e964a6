"""Pages of InfluenceReport: breast cancer by a Pipeline, digits as images.

``make report`` writes them beside this file and prints where; the documentation shows them. Where
PyTorch is installed there is a third: digits by the features of a small network.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceLogisticRegression, InfluenceReport
from skinfluence.labels import LabelAudit


def breast_cancer():
    """Return the report on a Pipeline, with twenty labels turned for the audit to find."""
    data = load_breast_cancer(as_frame=True)
    names = [f"patient {i}" for i in range(len(data.data))]
    X = data.data.set_axis(names)
    y = data.target.map(dict(enumerate(data.target_names))).set_axis(names)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, train_size=300, stratify=y, random_state=0
    )
    turned = np.random.default_rng(0).choice(300, 20, replace=False)
    y_train.iloc[turned] = np.where(y_train.iloc[turned] == "benign", "malignant", "benign")
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(X_train, y_train)
    size = X_train["mean radius"].to_numpy()
    groups = {
        "smallest third by mean radius": np.argsort(size)[:100],
        "largest third by mean radius": np.argsort(size)[-100:],
        "the twenty with turned labels": turned,
    }
    return InfluenceReport(
        pipe,
        X_test,
        y_test,
        audit=LabelAudit(pipe).fit(X_train, y_train),
        groups=groups,
        title="Breast cancer: a logistic regression behind a scaler",
    )


def digits_data():
    """Return images, pixels from 0 to 1 and digits, for training and test."""
    data = load_digits()
    X = data.data / 16.0
    return train_test_split(
        X, data.target, data.images, train_size=600, test_size=300, random_state=0
    )


def quarters_by_ink(X):
    """Return the rows of four groups, by the mean of their pixels."""
    order = np.argsort(X.mean(axis=1))
    names = ("least ink", "little ink", "more ink", "most ink")
    return dict(zip(names, np.array_split(order, 4), strict=True))


def digits():
    """Return the report on the raw pixels of handwritten digits."""
    X_train, X_test, y_train, y_test, images_train, images_test = digits_data()
    clf = InfluenceLogisticRegression(C=0.1).fit(X_train, y_train)
    return InfluenceReport(
        clf,
        X_test,
        y_test,
        audit=LabelAudit(clf).fit(X_train, y_train),
        images=(images_train, images_test),
        groups=quarters_by_ink(X_train),
        title="Handwritten digits: a softmax on raw pixels",
    )


def digits_by_a_network():
    """Return the report on the features of a small network; None without PyTorch."""
    try:
        import torch

        from skinfluence.torch import NeuralFeatures
    except ImportError:
        return None
    X_train, X_test, y_train, y_test, images_train, images_test = digits_data()
    torch.manual_seed(0)
    hidden = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Tanh())
    net = torch.nn.Sequential(hidden, torch.nn.Linear(32, 10))
    rows, labels = torch.tensor(X_train, dtype=torch.float32), torch.tensor(y_train)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(rows), labels).backward()
        optimizer.step()
    pipe = make_pipeline(NeuralFeatures(hidden.eval()), InfluenceLogisticRegression(C=0.1))
    pipe.fit(X_train.astype(np.float32), y_train)
    return InfluenceReport(
        pipe,
        X_test.astype(np.float32),
        y_test,
        images=(images_train, images_test),
        title="Handwritten digits: a softmax on the features of a network",
    )


PAGES = {
    "breast_cancer": breast_cancer,
    "digits": digits,
    "digits_by_a_network": digits_by_a_network,
}


def write(folder):
    """Write the pages to a folder, and return their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    reports = ((name, make()) for name, make in PAGES.items())
    return [
        report.write_html(folder / f"{name}.html") for name, report in reports if report is not None
    ]


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("reports")
    for path in write(target):
        print(path)
