"""The texts of model cards that are the same for every model of a kind."""

from collections.abc import Mapping
from typing import Any

KINDS: Mapping[str, str] = {
    "swapper": "A face swapper: finds the face region, encodes pose and attributes, selects for "
    "each pair of faces which latent codes come from the source, draws the face with StyleGAN2 and "
    "blends it into the target.\n",
    "generator": "A StyleGAN2 generator: latents to images.\n",
    "discriminator": "A StyleGAN2 discriminator: how real images look.\n",
    "identity": "An identity net: reads a face's identity, and the factors that made a rendered "
    "one. It guides swaps, and losses use it.\n",
    "judge": "A judge: reads a face's identity, pose and other factors. It measures swaps, and "
    "no loss uses it.\n",
}
"""What a model is, by its kind."""

METRICS = (
    "face_psnr",
    "psnr",
    "ssim",
    "lpips",
    "lpips_like",
    "identity_similarity",
    "identity_top1",
    "identity_top5",
    "pose_error_degrees",
    "fid",
    "background_psnr",
    "mask_iou",
)
"""Metrics that a card shows, where one row has them."""

SEEN_IN_TRAINING = (
    "**A judge was used in the training of this model; its figures measure nothing.**\n"
)
NO_FIGURES = (
    "It has not been measured yet. `alrl evaluate` measures a swapper, and `alrl model-card "
    "--model=DIR --metrics=FILE` writes what it found here.\n"
)
USE = """
## Intended use

Research on face synthesis and its detection; replacing or de-identifying faces of people who
agreed; making training data for detectors of manipulated images.

- **Consent.** Swap, train on and publish faces only of people who agreed to it: the person in the
  source, and the person in the target.
- **Not for** deceiving or harassing anybody, for sexual images of anybody, for getting past an
  identity check, or for judging people by their faces.
- Say in words that an image is synthetic where it is shown, and keep the metadata in its file.

## Limits

- Figures hold for the data, the judges and the protocol that stand beside them, no further.
- A swap is not anonymisation by itself: pose, hair, clothes and the scene remain.
- Quality may differ between groups of people; where no figures by skin tone stand above, this was
  not measured.
- Metadata are lost when an image is encoded again; that they are missing proves nothing.
- No compliance with any law, standard or policy is claimed; that is up to those who deploy it.
"""


def kind_of_run(config: Mapping[str, Any]) -> str:
    """The kind of model that a run's configuration trains."""
    kinds = {"swap": "swapper", "generator": "generator"}
    return kinds.get(config["task"]) or config.get("identity", {}).get("kind", "identity")
