"""JPEG as the pipeline sees it: the codec, and the quality that a file's tables tell."""
