"""Losses of all tasks, in one table."""
