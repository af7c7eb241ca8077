"""Runs many independent tasks: in threads of this machine, or as tasks of a Ray cluster."""
