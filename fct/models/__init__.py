"""Backbones, taps on their inner layers, and the residual mapping block."""
