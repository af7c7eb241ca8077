"""What served models were asked, by the files of `fct.serving.counters`, and how far that is from the training.

- counts: reads the files of all processes and adds them up
- drift: compares histograms, and proposes qualities to train
- findings: judges the counts of a model
- markdown, picture: show the findings to a person
- prometheus: shows the sums to Prometheus
"""
