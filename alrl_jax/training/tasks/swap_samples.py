"""What the averaged networks of the task ``swap`` make of a batch, to look at and to measure."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.models.swapper.swapper import Networks, Swapper
from alrl_jax.training.tasks import diagnostics
from alrl_jax.training.tasks.task import Metrics
from alrl_jax.types import PairBatch

Images = Float[Array, "b h w 3"]


def show(swapper: Swapper, networks: Networks, batch: PairBatch) -> dict[str, Images]:
    """Source, target and all that the networks make of them."""
    source, target = batch.source.image, batch.target.image
    swapped = swapper.swap(networks, source, target, swapper.overrides({}))
    return {
        "source": source,
        "target": target,
        "reconstructed": swapper.reconstruct(networks, target),
        "generated": swapped.generated,
        "mask": jnp.repeat(2.0 * swapped.mask - 1.0, 3, axis=-1),
        "swap": swapped.image,
        "gates": diagnostics.gate_image(swapped.gates.attributes, target.shape[1]),
    }


def measure(swapper: Swapper, networks: Networks, batch: PairBatch) -> Metrics:
    """Figures of pairs of different people.

    ``held_out/identity_similarity`` and ``held_out/target_similarity`` are mean cosines of the
    identity net's embeddings: of swaps and sources, which is to rise, and of swaps and targets,
    which is what leaks. The net is that of the losses: it says whether training gets on, and no
    more. ``held_out/reconstruction_psnr`` is in dB, of targets that are drawn from their own codes.
    """
    source, target = batch.source.image, batch.target.image
    swapped = swapper.swap(networks, source, target, swapper.overrides({})).image
    drawn = swapper.reconstruct(networks, target)
    made = swapper.embed(networks, swapped)
    found = {
        f"held_out/{name}_similarity": jnp.mean(
            jnp.sum(made * swapper.embed(networks, face), axis=-1)
        )
        for name, face in {"identity": source, "target": target}.items()
    }
    # Pixels lie in [-1, 1], so the largest error is 2.
    error = jnp.mean(jnp.square(drawn - target), axis=(1, 2, 3))
    found["held_out/reconstruction_psnr"] = jnp.mean(10.0 * jnp.log10(4.0 / (error + 1e-10)))
    return jax.tree.map(lambda x: x.astype(jnp.float32), found)
