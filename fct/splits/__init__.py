"""The contract on disk: splits of labelled images, and how they look after JPEG compression."""
