"""The documented ways from the files that people have, at 1024 px, on narrow networks."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alrl_jax.commands.export_weights import Permissions, export_file
from alrl_jax.commands.fabricate_models import Sizes, fabricate
from alrl_jax.convert.readers.containers import read_checkpoint
from alrl_jax.storage.workdir import read_metrics
from tests.conftest import COMPILATION_CACHE, ROOT
from tests.goldens.golden import read_golden
from tests.support import doc_commands
from tests.support.checkpoints import face_files
from tests.support.checkpoints.face_files import Body
from tests.support.checkpoints.golden_files import lin_weights
from tests.support.checkpoints.torch_writer import save_torch
from tests.support.fabricated import pixels, save, write_celebamask

PAGE = ROOT / "docs" / "files.md"
SECTION = "## From files to a run at 1024 px"
STYLES, WIDTH = 18, 32
BODY = Body(widths=(8, 12, 16, WIDTH), units=(1, 1, 1, 1), squeeze=4)
NARROW = Sizes(w_dim=WIDTH, channel_base=1024, channel_max=WIDTH, mapping_layers=2)
ONE_STEP = {
    "batch_size": 2,
    "num_steps": 1,
    "log_every": 1,
    "checkpoint_every": 1,
    "sample_every": 0,
    "generator.w_dim": WIDTH,
    "discriminator.channel_base": NARROW.channel_base,
    "discriminator.channel_max": NARROW.channel_max,
    "discriminator.mbstd_blocks": 1,
    "swap.width": 8,
    "compute_dtype": "float32",
}
"""Overrides: one step with little of everything but pixels."""


SWAP_PAGE = ROOT / "docs" / "swap.md"
SWAP_SECTION = "## From published files to a swap, without training"


def commands(
    page: Path = PAGE, section: str = SECTION, count: int = 1
) -> list[tuple[str, list[str]]]:
    """The commands of the section's first blocks: modules and arguments."""
    before = page.read_text(encoding="utf-8").partition(section)[0].count("\n")
    later = [block for block in doc_commands.blocks(page) if block.line > before]
    words = [words for block in later[:count] for words in doc_commands.commands(block.text)]
    found = [doc_commands.split_command(line) for line in words]
    return [command for command in found if command is not None]


def write_files(folder: Path) -> None:
    """Files of the structure of the published ones, by their names."""
    generator = fabricate(folder / "random", ["generator"], 1024, NARROW)["generator"]
    export_file(str(generator), "rosinality", folder / "stylegan2-ffhq-config-f.pt", Permissions())
    encoder = face_files.fill(face_files.style_encoder_spec(BODY, STYLES, depth=4), "encoder.")
    decoder = read_checkpoint(folder / "stylegan2-ffhq-config-f.pt")["g_ema"]
    encoder |= {f"decoder.{name}": np.array(tensor) for name, tensor in decoder.items()}
    said = {"encoder_type": "Encoder4Editing", "stylegan_size": 1024, "start_from_latent_avg": True}
    content = {"state_dict": encoder, "opts": said, "latent_avg": np.zeros(WIDTH, np.float32)}
    save_torch(folder / "e4e_ffhq_encode.pt", content)
    save_torch(folder / "model_ir_se50.pth", face_files.fill(face_files.arcface_spec(BODY, side=7)))
    alex = read_golden("lpips_alex_own_lin")
    save_torch(folder / "alexnet.pth", dict(alex.tensors))
    save_torch(folder / "alex.pth", lin_weights(alex))
    save_torch(folder / "79999_iter.pth", read_golden("bisenet_parsing").tensors)
    save_torch(folder / "hopenet_robust_alpha1.pkl", read_golden("hopenet").tensors)
    write_celebamask(folder / "CelebAMask-HQ", range(3), {n: n + 1 for n in range(3)})


@pytest.mark.slow
def test_the_commands_of_the_page(tmp_path: Path) -> None:
    write_files(tmp_path)
    lines = commands()
    assert [module.rpartition(".")[2] for module, _ in lines] == 6 * ["convert_weights"] + [
        "prepare_dataset",
        "train",
    ]
    lines[-1][1].extend(f"--config.{name}={value}" for name, value in ONE_STEP.items())
    run_all(lines, tmp_path)
    (metrics,) = read_metrics(tmp_path / "runs/celeba_1024")
    assert metrics["step"] == 1 and np.isfinite(list(metrics.values())).all()


@pytest.mark.slow
def test_a_swap_without_training(tmp_path: Path) -> None:
    """The commands of the page, and the same with the codes refined."""
    write_files(tmp_path)
    for number, name in enumerate(("me.jpg", "picture.jpg")):
        save(tmp_path / name, pixels(number, 1024))
    lines = commands(SWAP_PAGE, SWAP_SECTION, count=2)
    names = ["convert_weights", "convert_weights", "assemble_swapper", "infer"]
    assert [module.rpartition(".")[2] for module, _ in lines] == names + names[1:]
    infer, arguments = lines[-1]
    refined = [a for a in arguments if not a.startswith("--output")]
    refined += ["--output=runs/refined", "--optimise=2"]
    run_all([*lines, (infer, refined)], tmp_path)
    results = [
        json.loads((tmp_path / "runs" / name / "results.jsonl").read_text())
        for name in ("swaps", "refined", "parsed")
    ]
    assert [result["status"] for result in results] == ["done"] * 3
    with Image.open(tmp_path / "runs/swaps" / results[0]["output"]) as image:
        assert image.size == (1024, 1024)
    (found,) = results[1]["optimised"]
    assert {"identity", "parsing", "outside"} <= found["before"].keys() == found["after"].keys()


def run_all(lines: list[tuple[str, list[str]]], folder: Path) -> None:
    """Runs commands one after the other, in a folder."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(COMPILATION_CACHE),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    for module, arguments in lines:
        done = subprocess.run(
            doc_commands.program(module, arguments),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=1200,
        )
        assert done.returncode == 0, done.stderr
