"""What `make docs` needs beside mkdocs and docs/: pages that are made from the code, and what hooks do to each page."""
