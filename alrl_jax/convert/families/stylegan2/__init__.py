"""StyleGAN2 as NVIDIA's and rosinality's code saves it."""
