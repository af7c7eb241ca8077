"""The stage `gate`: judges whether an exported model is good enough for a promotion."""
