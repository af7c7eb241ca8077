"""Backbones, the network that is trained, and the files of both."""
