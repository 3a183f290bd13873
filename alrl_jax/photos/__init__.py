"""Photographs of people: decoding, landmarks, alignment, and pasting back."""
