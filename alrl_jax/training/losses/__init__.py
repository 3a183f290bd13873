"""Losses of all tasks: functions by task, and one table (``table.py``)."""
