"""The files of splits of labelled images, and the splits after JPEG compression."""
