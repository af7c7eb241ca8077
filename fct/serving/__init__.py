"""A model that answers for image files.

A copy of this folder and of `fct.images` is stored in every registered model, so they need numpy, Pillow, onnxruntime
and what MLflow brings alone, import one another relatively, and know nothing of the rest of the project.
"""
