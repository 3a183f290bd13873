"""The default finder of faces: BlazeFace and Face Mesh, read from their files and run in JAX."""
