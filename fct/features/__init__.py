"""The stage `features`: measures how far compression moves the inner features of the trained network."""
