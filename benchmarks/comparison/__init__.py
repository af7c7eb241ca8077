"""The paper's comparison: every method at equal budget, over seeds, on real data.

dvc --cd benchmarks repro                            # all runs, hours; what is there is not run again
python -m benchmarks.comparison run cifar10 fct      # one of them
python -m benchmarks.comparison summary              # tables, figures and summary.json from what is there
"""
