"""An invisible mark in images: payload, waves, fit, codec."""
