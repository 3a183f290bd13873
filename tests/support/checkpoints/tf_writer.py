"""Writes pickles as NVIDIA's TensorFlow code does, of tensors under NVIDIA's PyTorch names."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.checkpoints.pickle_writer import Call, Named, NumpyWriter, dump

Tensors = dict[str, np.ndarray]


def _kernel(x: np.ndarray) -> np.ndarray:
    return x.transpose(2, 3, 1, 0)


def _noise(match: re.Match[str]) -> str:
    """Number of a noise map by resolution 2**k: 2k - 5 of the first layer, 2k - 4 of the second."""
    k = int(match[1]).bit_length() - 1
    return f"synthesis/noise{2 * k - 5 + int(match[2])}"


# PyTorch's name -> TensorFlow's, and what becomes of the tensor.
_ROWS: tuple[tuple[str, Any, Any], ...] = (
    (r".*resample_filter", None, None),
    (r"mapping\.w_avg", "dlatent_avg", lambda x: x),
    (r"(.*mapping)\.fc(\d+)\.(weight|bias)", r"\1/Dense\2/\3", np.transpose),
    (r"(.*mapping)\.embed\.(weight|bias)", r"\1/LabelEmbed/\2", np.transpose),
    (r"synthesis\.b4\.const", "synthesis/4x4/Const/const", lambda x: x[None]),
    (r"synthesis\.b(\d+)\.conv(\d)\.noise_const", _noise, lambda x: x[None, None]),
    (r"(synthesis)\.b4\.conv1\.(.*)", r"\1/4x4/Conv/\2", None),
    (r"(synthesis)\.b(\d+)\.conv0\.(.*)", r"\1/\2x\2/Conv0_up/\3", None),
    (r"(synthesis)\.b(\d+)\.conv1\.(.*)", r"\1/\2x\2/Conv1/\3", None),
    (r"(synthesis)\.b(\d+)\.torgb\.(.*)", r"\1/\2x\2/ToRGB/\3", None),
    (r"b4\.conv\.(.*)", r"4x4/Conv/\1", None),
    (r"b4\.fc\.(.*)", r"4x4/Dense0/\1", np.transpose),
    (r"b4\.out\.(.*)", r"Output/\1", np.transpose),
    (r"b(\d+)\.fromrgb\.(.*)", r"\1x\1/FromRGB/\2", None),
    (r"b(\d+)\.conv0\.(.*)", r"\1x\1/Conv0/\2", None),
    (r"b(\d+)\.conv1\.(.*)", r"\1x\1/Conv1_down/\2", None),
    (r"b(\d+)\.skip\.(.*)", r"\1x\1/Skip/\2", None),
)


def tf_variables(tensors: Tensors) -> Tensors:
    """The variables by TensorFlow's names."""
    found: Tensors = {}
    for name, tensor in tensors.items():
        pattern, target, change = next(row for row in _ROWS if re.fullmatch(row[0], name))
        if target is None:
            continue
        new = re.sub(pattern, target, name)
        new = new.replace("affine.weight", "mod_weight").replace("affine.bias", "mod_bias")
        found[new] = np.asarray((change or _change(new))(tensor), order="C")
    return found


def _change(name: str) -> Any:
    if name.endswith("mod_weight"):
        return np.transpose
    if name.endswith("mod_bias"):
        return lambda x: x - np.float32(1)
    if name.endswith("Conv0_up/weight"):
        return lambda x: _kernel(x)[::-1, ::-1]
    return _kernel if name.endswith("/weight") else lambda x: x


def tf_network(variables: Tensors, version: int, core: str = "core", **arguments: Any) -> Call:
    """A network; variables of ``mapping`` and ``synthesis`` go into its components."""
    write = NumpyWriter(core).array
    parts: dict[str, Tensors] = {"": {}, "mapping": {}, "synthesis": {}}
    for name, value in variables.items():
        part, _, rest = name.partition("/")
        inside = part in parts
        parts[part if inside else ""][rest if inside else name] = value
    components = {p: tf_network(v, version, core) for p, v in parts.items() if p and v}
    state = {
        "version": version,
        "name": "G",
        "static_kwargs": Call(Named("dnnlib.util", "EasyDict"), new=True, items=arguments),
        "components": Call(Named("dnnlib.util", "EasyDict"), new=True, items=components),
        "build_module_src": "raise RuntimeError('embedded source must never run')\n",
        "build_func_name": "G_main",
        "variables": [(name, write(value)) for name, value in parts[""].items()],
    }
    state |= {"input_shapes": [None], "output_names": ["images_out"]} if version == 5 else {}
    return Call(Named("dnnlib.tflib.network", "Network"), state=state, new=True)


def save_tf(path: Path, networks: tuple[Call, Call, Call], protocol: int = 4) -> Path:
    """Writes G, D, Gs."""
    path.write_bytes(dump(networks, protocol))
    return path
