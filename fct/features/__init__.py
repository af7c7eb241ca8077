"""The stage `features`: how far compression moves the inner features of the trained network."""
