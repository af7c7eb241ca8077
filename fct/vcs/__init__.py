"""Reads git and dvc.lock: the commit, the changed files, the checksum of every out."""
