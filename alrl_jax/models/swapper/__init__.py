"""The face swapper: encoder, selection of codes, blend, and the whole."""
