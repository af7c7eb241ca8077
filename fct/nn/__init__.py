"""Modules in plain torch: the residual mapping block, the quality estimator, the layout of features."""
