"""The swapper at 1024 px on photographs: pSp's encoder and a generator of others, held still.

python -m alrl_jax.train --config=configs/ffhq_1024.py --workdir=runs/ffhq_1024

Needs FFHQ as ``tools.prepare_dataset --resolution=1024`` writes it in ``data/ffhq_1024``, and the
converted networks that ``pretrained`` names (README.md, "From files to a run at 1024 px").

Hardware: 8 accelerators with 24 GB or more, two images each.
Memory a device at two images: 13.4 GiB (arguments 5.3, work 8.1), as XLA's compiler for CPUs counts
it, where bfloat16 is computed in float32. Command:
    python -m tools.memory_report --config=configs/ffhq_1024.py --batch=2 --fabricate
Expected throughput, derived and not measured: the same command counts 4.93 TFLOP a step, 2.5 an
image, so a device that sustains a fifth of an A100's 312 TFLOP/s takes 25 images/s, and eight of
them do 200,000 steps in 4.5 hours. No step of it has run on an accelerator yet.
"""

import ml_collections

from alrl_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """Starts exactly at pSp's reconstruction; learns to select codes, to mask and to move pose.

    The generator is frozen, so nothing is judged: identity, LPIPS and the masks teach.
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
        "pose_consistency": 0.01,
        "attribute_consistency": 0.01,
        "latent": 0.001,
        "gate_budget": 0.1,
        "gate_entropy": 0.002,
        "gate_information": 0.0,
        "attribute_groups": 0.0,
        "adversarial": 0.0,
        "supervised": 0.0,
        "r1": 0.0,
    }
    config = default_config("swap", losses)
    config.resolution = 1024
    config.loss_resolution = 256
    config.num_steps = 200_000
    config.batch_size = 16
    config.log_every = 50
    config.checkpoint_every = 2000
    config.sample_every = 2000
    config.compute_dtype = "bfloat16"
    config.remat = "blocks"
    config.data.source = "prepared"
    config.data.path = "data/ffhq_1024"
    config.generator.train = False
    config.generator.w_dim = 512
    config.discriminator.channel_base = 32768
    config.discriminator.channel_max = 512
    config.encoder.backbone = "ir_se"
    config.encoder.resolution = 256
    config.encoder.widths = (64, 128, 256, 512)
    config.swap.width = 256
    config.swap.feather = 4
    config.optimizer.learning_rate = 1e-4
    config.optimizer.beta1 = 0.9
    config.optimizer.beta2 = 0.999
    config.optimizer.warmup_steps = 500
    config.optimizer.clip_norm = 10.0
    config.optimizer.ema_kimg = 10.0
    config.pretrained.generator = "models/ffhq"
    config.pretrained.encoder = "models/psp"
    config.pretrained.identity = "models/arcface"
    config.pretrained.lpips = "models/lpips"
    config.pretrained.parser = "models/parser"
    config.pretrained.swapper = ""
    return config
