"""The search for the consistency term's weight, layers, blocks, distance and target."""
