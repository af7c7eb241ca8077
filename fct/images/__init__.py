"""Decode an image file to upright pixels of a given size, and read its JPEG quality.

Needs only numpy and Pillow: every registered model contains a copy of this folder.
"""
