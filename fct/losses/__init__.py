"""Losses between the views of an image, in plain torch."""
