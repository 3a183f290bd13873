"""Training: one loop, one state, pure steps."""
