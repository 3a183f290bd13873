"""Published networks, equal to their originals."""
