"""Face backbones of ArcFace, and the encoders of pSp and e4e."""
