"""The swapper at 1024 px on photographs, its generator fine-tuned with it against a discriminator.

python -m alrl_jax.train --config=configs/ffhq_1024_finetune.py --workdir=runs/ffhq_1024_finetune \\
    --config.pretrained.swapper=SWAPPER

SWAPPER is what ``tools.package_model`` makes of a run of ``ffhq_1024.py``. Needs the data and
networks of that run, and the discriminator that was trained with the generator.

Hardware: 8 accelerators with 24 GB or more, two images each.
Memory a device at two images: 17.4 GiB in a step with R1 (arguments 5.6, work 11.8), as XLA's
compiler for CPUs counts it, where bfloat16 is computed in float32. Command:
    python -m tools.memory_report --config=configs/ffhq_1024_finetune.py --batch=2 --fabricate
Expected throughput, derived and not measured: the same command counts 9.63 TFLOP in a step with R1,
4.8 an image, so a device that sustains a fifth of an A100's 312 TFLOP/s takes 13 images/s or more.
"""

import ml_collections

from alrl_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """Goes on where ``ffhq_1024.py`` ended, or, without a swapper, where pSp did.

    A generator that has only ever seen one constant learns here to read pose codes.
    """
    losses = {
        "identity": 0.5,
        "identity_factors": 0.0,
        "attributes": 0.0,
        "reconstruction": 1.0,
        "perceptual": 0.8,
        "self_reconstruction": 1.0,
        "self_perceptual": 0.8,
        "region": 0.5,
        "parsing": 0.1,
        "background": 0.5,
        "pose_consistency": 0.1,
        "attribute_consistency": 0.01,
        "latent": 0.001,
        "gate_budget": 0.1,
        "gate_entropy": 0.002,
        "gate_information": 0.0,
        "attribute_groups": 0.0,
        "adversarial": 0.05,
        "supervised": 0.0,
        "r1": 10.0,
    }
    config = default_config("swap", losses)
    config.resolution = 1024
    config.loss_resolution = 256
    config.num_steps = 100_000
    config.batch_size = 16
    config.log_every = 50
    config.checkpoint_every = 2000
    config.sample_every = 2000
    config.compute_dtype = "bfloat16"
    config.remat = "blocks"
    config.data.source = "prepared"
    config.data.path = "data/ffhq_1024"
    config.generator.train = True
    config.generator.w_dim = 512
    config.discriminator.channel_base = 32768
    config.discriminator.channel_max = 512
    config.discriminator.mbstd_blocks = 8
    config.discriminator.mbstd_group_size = 2
    config.encoder.backbone = "ir_se"
    config.encoder.resolution = 256
    config.encoder.widths = (64, 128, 256, 512)
    config.swap.width = 256
    config.swap.feather = 4
    config.optimizer.learning_rate = 1e-4
    config.optimizer.generator_learning_rate = 1e-4
    config.optimizer.discriminator_learning_rate = 5e-4
    config.optimizer.beta1 = 0.5
    config.optimizer.beta2 = 0.99
    config.optimizer.warmup_steps = 500
    config.optimizer.clip_norm = 10.0
    config.optimizer.ema_kimg = 10.0
    config.pretrained.generator = "models/ffhq"
    config.pretrained.discriminator = "models/ffhq_discriminator"
    config.pretrained.encoder = "models/psp"
    config.pretrained.identity = "models/arcface"
    config.pretrained.lpips = "models/lpips"
    config.pretrained.parser = "models/parser"
    config.pretrained.swapper = ""
    return config
