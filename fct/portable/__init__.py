"""What travels with a registered model: from the bytes of an image file to a class.

A copy of this folder is stored in every registered model, so it needs numpy, Pillow, onnxruntime and what MLflow brings
alone, its modules import one another relatively, and nothing here knows the rest of the project.
"""
