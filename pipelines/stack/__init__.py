"""The services of a team, started as processes on a bare Debian."""
