"""The stage `int8`: the exported model in 8 bits, and its verdict."""
