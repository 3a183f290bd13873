"""Data sets for detectors of swapped faces: fakes beside equally processed real pictures."""
