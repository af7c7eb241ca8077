"""Shared by all stages: errors for users, atomic files, locks, validated parameters and paths."""
