"""Sub-commands of ``alrl`` that are not called as modules of the package."""
