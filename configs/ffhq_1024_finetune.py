"""The swapper at 1024 px on photographs, its generator fine-tuned with it against a discriminator.

python -m alrl_jax.train --config=configs/ffhq_1024_finetune.py --workdir=runs/ffhq_1024_finetune \\
    --config.pretrained.swapper=SWAPPER

SWAPPER is what ``alrl package-model`` makes of a run of ``ffhq_1024.py``. Needs the data and
networks of that run, and the discriminator that was trained with the generator.

Hardware: 8 accelerators with 24 GB or more, two images each.
The figures below are of this config before it had cycle targets, witnesses, attribute control and
the losses that keep the target.
Memory a device at two images: 17.4 GiB in a step with R1 (arguments 5.6, work 11.8), as XLA's
compiler for CPUs counts it, where bfloat16 is computed in float32. Command:
    alrl memory-report --config=configs/ffhq_1024_finetune.py --batch=2 --fabricate
Expected throughput, derived and not measured: the same command counts 9.63 TFLOP in a step with R1,
4.8 an image, so a device that sustains a fifth of an A100's 312 TFLOP/s takes 13 images/s or more.
"""

import ml_collections

from alrl_jax.config import recipes


def get_config() -> ml_collections.ConfigDict:
    """Goes on where ``ffhq_1024.py`` ended, or, without a swapper, where pSp did.

    A generator that has only ever seen one constant learns here to read pose codes.
    """
    losses = recipes.PHOTO_LOSSES | {"adversarial": 0.05, "r1": 10.0}
    config = recipes.swap_photos_1024(losses)
    recipes.train_adversarially(config)
    config.num_steps = 100_000
    config.discriminator.mbstd_group_size = 2
    config.pretrained.discriminator = "models/ffhq_discriminator"
    return config
