"""The stage `gate`: whether an exported model is good enough to be promoted."""
