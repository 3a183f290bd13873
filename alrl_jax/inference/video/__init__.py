"""Swaps in videos: frame folders and video files, along the track of a face."""
