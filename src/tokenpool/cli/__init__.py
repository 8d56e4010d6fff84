"""The same verbs for operators."""
