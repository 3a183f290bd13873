"""StyleGAN2 generators, as ``alrl_jax.load`` opens them."""

from typing import Any

import jax
from jaxtyping import Array, Float, Key

from alrl_jax.errors import UserError
from alrl_jax.loading.base import AnyImages, Model, PyTree
from alrl_jax.loading.checking import check_codes, check_label
from alrl_jax.models.build import build_generator, constant_channels
from alrl_jax.models.stylegan2.generator import NoiseMode, num_latents
from alrl_jax.training.tasks.drawing import PoseCodeSampler
from alrl_jax.types import AnyArray


class GeneratorModel(Model):
    """Kind ``generator``: latents to W+ codes to images.

    Attributes:
        network: the module, without weights.
        pose_latent_dim: width of the latents of its pose codes; 0 where it has none.  A generator
            that was trained with sampled pose codes draws well only with them.
    """

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        self.network = build_generator(config)
        self.pose_latent_dim = int(config.get("pose_latent_dim", 0))
        static = ("truncation_psi", "truncation_cutoff", "noise_mode", "method")
        self._apply = jax.jit(self.network.apply, static_argnames=static)
        self._sample = jax.jit(PoseCodeSampler(constant_channels(self.network)).apply)
        self._networks = {name: self.variables[name] for name in ("params", "constants")}

    def map(
        self,
        z: AnyImages,
        label: Float[AnyArray, "b n"] | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Float[Array, "b l d"]:
        """W+ codes of normal latents; see ``Generator.map``.

        Raises:
            UserError: on latents of another width, and where a label is missing.
        """
        check_codes(z, "z", self.network.z_dim, f"[n, {self.network.z_dim}]")
        check_label(label, self.network.label_dim, len(z))
        return self._apply(
            self._networks,
            z,
            label,
            truncation_psi=truncation_psi,
            truncation_cutoff=truncation_cutoff,
            method="map",
        )

    def pose_code(self, latents: Float[AnyArray, "b p"]) -> Float[Array, "b 4 4 c"]:
        """Pose codes of normal latents.

        Raises:
            UserError: if the generator has none, or the latents are not ``pose_latent_dim`` wide.
        """
        if not self.pose_latent_dim or latents.shape[-1] != self.pose_latent_dim:
            raise UserError(
                f"got pose latents of width {latents.shape[-1]}; expected {self.pose_latent_dim}, "
                "where 0 means that the generator has no pose codes; see pose_latent_dim"
            )
        return self._sample({"params": self.variables["pose"]}, latents)

    def synthesize(
        self,
        ws: AnyImages,
        noise_mode: NoiseMode = "const",
        pose_code: Float[AnyArray, "b 4 4 c"] | None = None,
        noise_key: Key[Array, ""] | None = None,
    ) -> Float[Array, "b h w 3"]:
        """Images of W+ codes; ``random`` noise without a key draws from seed 0.

        Raises:
            UserError: on codes of another shape.
        """
        layers, width = num_latents(self.network.resolution), self.network.w_dim
        check_codes(ws, "ws", width, f"[n, {layers}, {width}]", layers)
        if noise_mode == "random" and noise_key is None:
            noise_key = jax.random.key(0)
        return self._apply(
            self._networks,
            ws,
            pose_code,
            noise_mode=noise_mode,
            noise_key=noise_key,
            method="synthesize",
        )
