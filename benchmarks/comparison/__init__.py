"""The paper's comparison: every method at equal budget, over seeds, on real data.

python -m benchmarks.comparison run --missing        # every run that is missing or stale: hours; may be killed
python -m benchmarks.comparison run cifar10 fct      # one of them
python -m benchmarks.comparison status               # which are missing or stale
python -m benchmarks.comparison summary              # tables and figures of docs/results
python -m benchmarks.comparison compare cifar10 fct-own distill-own   # any two entries
"""
