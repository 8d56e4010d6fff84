"""Everything above can be proved and exported."""
