"""Classifies image files with an exported model.

Every registered model holds a copy of this folder and of `fct.images`. Therefore they need only numpy, Pillow,
onnxruntime and the packages that MLflow installs, use relative imports, and import nothing else of the project.
"""
