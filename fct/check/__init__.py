"""Finds what is wrong in params.yaml before the first stage computes anything."""
