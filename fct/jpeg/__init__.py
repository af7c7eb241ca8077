"""JPEG as the pipeline sees it: the codec, the quality in a file's tables, the cache of compressed views."""
