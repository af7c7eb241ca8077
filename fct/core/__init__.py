"""What every stage shares: errors for people, whole-or-nothing files, validated parameters."""
