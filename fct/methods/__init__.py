"""Training methods, one short file each: views of a batch in, loss and its named parts out."""
