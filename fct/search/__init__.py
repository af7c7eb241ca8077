"""The search for the consistency term's weight, layers, distance and target."""
