"""The stages `cache` and `cache-index`: compressed views on disk, one folder a quality."""
