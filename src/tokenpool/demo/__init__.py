"""A provider that is simulated and an organization with a past."""
