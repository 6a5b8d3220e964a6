"""
Embeddings that exist already
=============================

An encoder of sentences or images has run somewhere else, on a card or at a vendor's, and what is
there is a file: one row of numbers for each text or image. Nothing of a network is needed from then
on. The rows are features like any others, with an exact answer to which of them a classifier relies
on; this page does not import PyTorch.
"""

# %%
# A file of embeddings
# --------------------
# In practice the first half of this cell is somebody else's program, such as
#
# .. code-block:: python
#
#     model = SentenceTransformer("all-MiniLM-L6-v2")
#     np.save("embeddings.npy", model.encode(texts))
#
# or a table of a parquet file, which is read by
#
# .. code-block:: python
#
#     X = pd.read_parquet("embeddings.parquet")  # the index has the names of the texts
#
# Here two small encoders stand for it, made by scikit-learn: 60 dimensions of the words of text
# messages, and 60 of their groups of letters (latent semantic analysis). The messages are the SMS
# Spam Collection (Almeida & Hidalgo 2011), in the folder named by ``SKINFLUENCE_DATA``; without it
# the page runs on images, scikit-learn's threes and eights, encoded by their rows and by their
# columns. The text speaks of messages.

import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceLogisticRegression, explain
from skinfluence.debugging import compare_models
from skinfluence.labels import LabelAudit
from skinfluence.model_selection import LeaveOneOutSearchCV

folder = Path(tempfile.mkdtemp())
path = Path(os.environ.get("SKINFLUENCE_DATA", "")) / "sms_spam" / "SMSSpamCollection.tsv"
if path.is_file():
    lines = path.read_text(encoding="utf-8").splitlines()[:3000]
    pairs = [line.split("\t", 1) for line in lines]
    y, items = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=5)
    encoded = {
        name: TruncatedSVD(60, random_state=0).fit_transform(encoder.fit_transform(items))
        for name, encoder in (("words", words), ("letters", letters))
    }
else:
    images, y = load_digits(return_X_y=True)
    keep = np.isin(y, (3, 8))
    images, y = images[keep].reshape(-1, 8, 8), np.where(y[keep] == 3, "three", "eight")
    items = np.array([f"image {i} of a {what}" for i, what in enumerate(y)])
    encoded = {"words": np.cumsum(images, 1), "letters": np.cumsum(images, 2)}
    encoded = {name: X.reshape(-1, 64).astype(float) for name, X in encoded.items()}
for name, X in encoded.items():
    np.save(folder / f"{name}.npy", X.astype(np.float32))

# %%
# What follows begins with the files. A memory-mapped array is read where it is; float32 stays
# float32. A data frame says the same with names, those of the texts included.

encoded = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("words", "letters")}
frames = [pd.DataFrame(X, index=items).add_prefix(f"{name} ") for name, X in encoded.items()]
X = pd.concat(frames, axis=1)
train, test = np.arange(len(y)) % 3 > 0, np.arange(len(y)) % 3 == 0
print(f"{train.sum()} rows to train on, {test.sum()} to test, {X.shape[1]} numbers each")

# %%
# Why is this one spam?
# ---------------------
# A logistic regression on the embeddings, its C by leave-one-out. For the test message that it gets
# most wrong: which training messages made it err, and which spoke for the truth?


def classifier(columns):
    """A regression on some of the columns."""
    search = LeaveOneOutSearchCV(
        InfluenceLogisticRegression(solver="newton-cholesky"),
        {"C": [0.01, 0.1, 1.0, 10.0]},
        scoring="neg_log_loss",
    )
    chosen = make_column_transformer((StandardScaler(), columns))
    return explain(make_pipeline(chosen, search).fit(X[train], y[train]))


by_words = classifier([column for column in X if column.startswith("words")])
accuracy = np.mean(by_words.predict(X[test]) == y[test])
codes = np.searchsorted(by_words.classes_, y[test])
sure = by_words.predict_proba(X[test])[np.arange(test.sum()), codes]
wrong = int(np.argmin(sure))
row = X[test].iloc[[wrong]]
print(f"accuracy {accuracy:.3f}; {row.index[0][:90]!r} is {y[test][wrong]}, P = {sure[wrong]:.3f}")
found = by_words.most_influential(row, y[test][[wrong]], k=3)
for kind in ("harmful", "helpful"):
    rows, values = getattr(found, f"{kind}_indices")[0], getattr(found, f"{kind}_values")[0]
    for i, value in zip(rows, values, strict=True):
        print(f"{kind} {value:+.3f}  {y[train][i]:5s} {items[train][i][:70]!r}")

# %%
# Which labels are wrong?
# -----------------------
# Every tool takes the same rows. An audit of the labels, its first five issues:

audit = LabelAudit(InfluenceLogisticRegression(C=0.1)).fit(encoded["words"][train], y[train])
for i in audit.issues(5):
    print(f"{y[train][i]:5s} {items[train][i][:70]!r}")

# %%
# Another encoder, the same reasons?
# ----------------------------------
# The second encoder reads letters where the first reads words. Both classifiers are about as good;
# whether they are right for the same reasons, ``compare_models`` says: the correlation of the
# influences of all training messages, and the messages among the ten most influential that both
# have in common.

by_letters = classifier([column for column in X if column.startswith("letters")])
print(f"accuracy {np.mean(by_letters.predict(X[test]) == y[test]):.3f}")
print(compare_models(by_words, by_letters, X[test][::10], y[test][::10], target="margin"))
