"""Sources of labelled images and their division into splits."""
