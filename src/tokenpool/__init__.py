"""Tokenpool meters, caps and bills an organization's LLM usage from one shared pool."""

__version__ = "0.1.0"
