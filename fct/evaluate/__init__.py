"""Measures an exported model on compressed images, with intervals."""
