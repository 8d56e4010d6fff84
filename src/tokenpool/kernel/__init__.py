"""The words every room speaks: errors, money, tokens, periods, the clock, ids, group commit."""
