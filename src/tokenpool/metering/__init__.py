"""What was used, once and for ever."""
