"""What lies on disk: checkpoints, model directories, work directories."""
