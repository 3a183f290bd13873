"""The swapper at 256 px on photographs, end to end: encoder, selection, generator, blend.

python -m alrl_jax.train --config=configs/ffhq_256.py --workdir=runs/ffhq_256

Needs FFHQ as ``tools.prepare_dataset --resolution=256`` writes it in ``data/ffhq_256``, and the
converted networks that ``pretrained`` names.

Hardware: 8 accelerators with 24 GB or more, eight images each.
Memory a device at eight images: 17.4 GiB (arguments 4.7, work 12.7), as XLA's compiler for CPUs
counts it, where bfloat16 is computed in float32. Command:
    python -m tools.memory_report --config=configs/ffhq_256.py --batch=8 --fabricate
Expected throughput, derived and not measured: the same command counts 12.7 TFLOP a step (14.2 with
R1), 1.6 an image, so a device that sustains a fifth of an A100's 312 TFLOP/s takes 39 images/s, and
eight of them do 200,000 steps in 11 hours. No step of it has run on an accelerator yet.
"""

import ml_collections

from alrl_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """Encoder on ArcFace's body, as pSp itself began; generator and discriminator of others.

    For small data sets, set ``--config.discriminator.ada=adaptive``.
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
        "r1": 1.0,
    }
    config = default_config("swap", losses)
    config.resolution = 256
    config.num_steps = 200_000
    config.batch_size = 64
    config.log_every = 50
    config.checkpoint_every = 2000
    config.sample_every = 2000
    config.compute_dtype = "bfloat16"
    config.remat = "convolutions"
    config.data.source = "prepared"
    config.data.path = "data/ffhq_256"
    config.generator.train = True
    config.generator.w_dim = 512
    config.discriminator.channel_base = 16384
    config.discriminator.channel_max = 512
    config.discriminator.mbstd_blocks = 8
    config.discriminator.mbstd_group_size = 4
    config.encoder.backbone = "ir_se"
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
    config.pretrained.generator = "models/ffhq_256"
    config.pretrained.discriminator = "models/ffhq_256_discriminator"
    config.pretrained.encoder = "models/arcface"
    config.pretrained.identity = "models/arcface"
    config.pretrained.lpips = "models/lpips"
    config.pretrained.parser = "models/parser"
    config.pretrained.swapper = ""
    return config
