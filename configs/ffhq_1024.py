"""The swapper at 1024 px on photographs: pSp's encoder and a generator of others, held still.

python -m alrl_jax.train --config=configs/ffhq_1024.py --workdir=runs/ffhq_1024

Needs FFHQ as ``alrl prepare-dataset --resolution=1024 --parser=models/parser`` writes it in
``data/ffhq_1024``, or CelebAMask-HQ with CelebA's list of identities (docs/data.md), and the
converted networks that ``pretrained`` names (docs/files.md, "From files to a run at 1024 px").

Hardware: 8 accelerators with 24 GB or more, two images each.
The figures below are of this config before it had cycle targets, witnesses, attribute control and
the losses that keep the target.
Memory a device at two images: 13.4 GiB (arguments 5.3, work 8.1), as XLA's compiler for CPUs counts
it, where bfloat16 is computed in float32. Command:
    alrl memory-report --config=configs/ffhq_1024.py --batch=2 --fabricate
Expected throughput, derived and not measured: the same command counts 4.93 TFLOP a step, 2.5 an
image, so a device that sustains a fifth of an A100's 312 TFLOP/s takes 25 images/s, and eight of
them do 200,000 steps in 4.5 hours. No step of it has run on an accelerator yet.
"""

import ml_collections

from alrl_jax.config import recipes


def get_config() -> ml_collections.ConfigDict:
    """Starts exactly at pSp's reconstruction; learns to select codes, to mask and to move pose.

    The generator is frozen and meets no discriminator: losses are those of frozen networks.
    """
    config = recipes.swap_photos_1024(recipes.PHOTO_LOSSES | {"pose_consistency": 0.01})
    config.num_steps = 200_000
    config.generator.train = False
    config.optimizer.beta1 = 0.9
    config.optimizer.beta2 = 0.999
    return config
