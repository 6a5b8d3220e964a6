"""A fuzzer: random problems, and refits of them by an independent Newton method in long double.

Nothing here imports a formula of the library: the losses, the optimum, the steps, the targets and
the diagnostics are written again, from their definitions, in 64-bit mantissas on centred columns.
`python -m tests.fuzz --problems 300 --seed 0` prints what was found.
"""
