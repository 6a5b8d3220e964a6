"""Problems x contestants in one table: time, ratio to the floor, peak memory, error against refits.

`python -m benchmarks` from the root of the repository. How it measures:

- `problems` are recipes for data; `oracle` refits without sampled rows, with scikit-learn alone.
- `contestants` answer a question about a problem; each runs in a fresh process of its own, which
  may be that of another interpreter (`--python captum=PATH`).
- `floors` are the BLAS calls that no exact method can do without, timed in the same process on the
  same threads, turn by turn with the contestant (`measure`).
- `micro` times the compiled kernels and the import; `report` prints and writes the table.
"""
