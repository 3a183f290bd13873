"""What a program costs, and what a machine can do."""
