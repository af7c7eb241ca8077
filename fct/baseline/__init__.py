"""The stage `baseline`: the same network, trained on raw images only."""
