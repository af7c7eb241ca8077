"""Training methods, one short file each. A method computes a loss and its named parts from the views of a batch."""
