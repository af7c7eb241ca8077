"""Paired batches, the training loop, and checkpoints that survive kill -9."""
