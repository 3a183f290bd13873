"""Data sets of others and of worlds, written into shards that training reads fast."""
