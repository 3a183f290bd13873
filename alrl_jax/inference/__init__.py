"""Swapping many photos: read, swap, paste and write side by side, in order, in bounded memory."""
