"""An image file's bytes: its pixels, upright and at the wanted size, and its JPEG quality.

Needs numpy and Pillow alone: a copy of this folder is stored in every registered model.
"""
