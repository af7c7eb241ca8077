"""The stage `int8`: quantises the exported model to 8 bits, and judges the result."""
