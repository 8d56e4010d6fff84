"""Which parts meet: settings, routes, wiring."""
