"""Weights of other projects in our layout: safe readers, rule tables, and the engine between."""
