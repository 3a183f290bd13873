"""Small tools that know nothing of faces: command lines, files, PNG, caches."""
