"""The stages `cache` and `cache-index`: compressed views on disk, in one folder for each quality."""
