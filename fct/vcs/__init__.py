"""What git and dvc.lock say: the commit, what has changed, the checksum of every out."""
