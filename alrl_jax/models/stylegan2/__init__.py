"""StyleGAN2: generator, discriminator, and the operations that they share."""
