"""Nobody spends beyond a limit: caps, accounts, holds."""
