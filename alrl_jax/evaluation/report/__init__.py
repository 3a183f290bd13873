"""The report of an evaluation: page, tables, drawings."""
