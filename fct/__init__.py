"""Feature Consistency Training: image classifiers that survive JPEG.

A reconstruction, from its abstract, of Wan, Wu, Hsu, Wong and Lee, "Feature Consistency Training With JPEG Compressed
Images", IEEE TCSVT 30(12), 2020.
"""
