"""Compressed views of the splits, made once for each trained quality and checked at every use."""
