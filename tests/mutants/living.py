"""Mutants that live, by their names, each with its reason.

"equivalent": no answer changes beyond rounding. "cost": what is computed the same takes another
time or memory. "fault": an answer would be wrong, and no test is worth what it would take to see.
"""

LIVING = {}
