"""The stage `spread`: trains the chosen configuration again, and measures how much the models differ."""
