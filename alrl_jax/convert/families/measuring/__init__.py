"""Networks that measure faces: LPIPS, face parser, Hopenet, Inception."""
