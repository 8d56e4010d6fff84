"""A closed month becomes one immutable document."""
