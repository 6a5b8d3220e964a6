"""scikit-learn's own tests, run on the estimators of this library: `python -m tests.drop_in`.

The wheel of scikit-learn carries its tests. `excerpts` copies those that use an estimator which has
a drop-in here, with the name bound to ours after the imports; `plugin` lets pytest expect the
failures that `differences` lists with their reasons, and no others; `page` prints the list.
"""
