"""Reads git and dvc.lock: the commit, the changed files, the checksum and size of every out."""
