"""Each threshold is told once to the right people."""
