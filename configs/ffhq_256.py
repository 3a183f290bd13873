"""The swapper at 256 px on photographs, end to end: encoder, selection, generator, blend.

python -m alrl_jax.train --config=configs/ffhq_256.py --workdir=runs/ffhq_256

Needs FFHQ as ``alrl prepare-dataset --resolution=256 --parser=models/parser`` writes it in
``data/ffhq_256``, and the converted networks that ``pretrained`` names. CelebAMask-HQ with CelebA's
list of identities serves better (docs/data.md): it has several photographs of some people. The same
recipe on faces whose truth is known is ``rehearsal_64.py``.

Hardware: 8 accelerators with 24 GB or more, eight images each.
The figures below are of this config before it had cycle targets, witnesses, attribute control and
the losses that keep the target.
Memory a device at eight images: 17.4 GiB (arguments 4.7, work 12.7), as XLA's compiler for CPUs
counts it, where bfloat16 is computed in float32. Command:
    alrl memory-report --config=configs/ffhq_256.py --batch=8 --fabricate
Expected throughput, derived and not measured: the same command counts 12.7 TFLOP a step (14.2 with
R1), 1.6 an image, so a device that sustains a fifth of an A100's 312 TFLOP/s takes 39 images/s, and
eight of them do 200,000 steps in 11 hours. No step of it has run on an accelerator yet.
"""

import ml_collections

from alrl_jax.config import recipes


def get_config() -> ml_collections.ConfigDict:
    """Encoder on ArcFace's body, as pSp itself began; generator and discriminator of others.

    For small data sets, set ``--config.discriminator.ada=adaptive``.
    """
    config = recipes.swap_photos(recipes.PHOTO_LOSSES | {"adversarial": 0.05, "r1": 1.0})
    recipes.train_adversarially(config)
    config.resolution = 256
    config.num_steps = 200_000
    config.batch_size = 64
    config.remat = "convolutions"
    config.data.path = "data/ffhq_256"
    config.discriminator.channel_base = 16384
    config.pretrained.generator = "models/ffhq_256"
    config.pretrained.discriminator = "models/ffhq_256_discriminator"
    config.pretrained.encoder = "models/arcface"
    return config
