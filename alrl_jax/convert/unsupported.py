"""Networks that people hold and that are not converted: how each is known, and what to do."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from alrl_jax.convert.faults import shown
from alrl_jax.convert.networks import OPTIONS, Network

UNSUPPORTED: Mapping[str, tuple[str, str]] = {
    r"(.*\.)?synthesis\.(input\.freqs|L\d+_\d+_\d+\..*)": (
        "StyleGAN3's generator",
        "take StyleGAN2's, such as ffhq.pkl of stylegan2-ada-pytorch",
    ),
    r"(.*\.)?stylegan_decoder\..*": (
        "GFPGAN's network, which restores faces",
        "take the generator that it was trained from, stylegan2-ffhq-config-f",
    ),
    r"(.*\.)?quantize\.embedding\.weight": (
        "CodeFormer's or a VQGAN's network",
        "take a StyleGAN2 generator",
    ),
    r"(.*\.)?g_synthesis\.blocks\..*": (
        "StyleGAN's first generator",
        "take StyleGAN2's, such as stylegan2-ffhq-config-f.pkl",
    ),
    r"opts/(n_iters_per_batch=.*|encoder_type=(ResNet)?(Progressive)?BackboneEncoder)": (
        "a ReStyle encoder, which refines its codes step by step",
        "take psp_ffhq_encode.pt or e4e_ffhq_encode.pt, or its generator with --kind=generator",
    ),
    r"(Conv|Gemm|MatMul)\.0\.weight": (
        "an ONNX graph of another network",
        "of ONNX, take ArcFace's IResNet of insightface (w600k_r50.onnx); no other is read",
    ),
}
"""Pattern of a tensor's name, or of an option as ``opts/NAME=VALUE``: what it is, what to do."""


def all_names(checkpoint: Any) -> list[str]:
    """Names of the tensors of a checkpoint, at most two deep, and of its options with values."""
    if isinstance(checkpoint, Network):
        return [*checkpoint.tensors]
    names: list[str] = []
    groups = [checkpoint, *checkpoint.values()] if isinstance(checkpoint, Mapping) else []
    for group in groups:
        tensors = group.tensors if isinstance(group, Network) else group
        if isinstance(tensors, Mapping):
            names += [k for k, v in tensors.items() if isinstance(v, np.ndarray) and type(k) is str]
    options = checkpoint.get(OPTIONS) if isinstance(checkpoint, Mapping) else None
    options = options if isinstance(options, Mapping) else {}
    return names + [f"{OPTIONS}/{shown(k)}={shown(v)}" for k, v in options.items()]


def unsupported(names: Iterable[str]) -> str | None:
    """One line about a network of the table that has such names; None without one."""
    texts = list(names)
    for pattern, (what, remedy) in UNSUPPORTED.items():
        if any(re.fullmatch(pattern, name) for name in texts):
            return f"{what}, which is not converted; {remedy}"
    return None
