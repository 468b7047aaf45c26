"""Export a checkpoint to one ONNX file that takes the camera's pixels, checked against PyTorch before it is kept.

minisegnet export runs/first/best.safetensors --output robot.onnx
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser
from numpy.typing import NDArray

from minisegnet_core.cli import command
from minisegnet_core.data.dataset import read_image
from minisegnet_core.errors import ModelError

CHECK_IMAGES = 8
"""Images taken of --check-images, and scenes rendered where none are given."""


@command
def main(argv: Sequence[str], prog: str) -> int:
    parser = ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument('checkpoint', type=str, help='best.safetensors or last.ckpt of a training')
    parser.add_argument('--output', type=str, required=True, help='the ONNX file to write')
    parser.add_argument(
        '--check-images', type=str, default=None, help='folder of images for the comparison (default: rendered scenes)'
    )
    parser.add_argument(
        '--float32', action='store_true', help='keep weights as float32: twice the file, for engines without float16'
    )
    parser.add_argument(
        '--half-checkpoint',
        action='store_true',
        help='write the checkpoint beside it too, ending in .safetensors, with half-precision weights, to go on from',
    )
    arguments = parser.parse_args(list(argv))
    from minisegnet_core.inference.export import export_onnx

    images = _read_images(Path(arguments.check_images)) if arguments.check_images else _render_images()
    output = Path(arguments.output)
    agreement = export_onnx(Path(arguments.checkpoint), output, half=not arguments.float32, images=images)
    print(
        f'{output} ({output.stat().st_size / 1e6:.1f} MB): agrees with PyTorch on {agreement:.3%} of the label pixels '
        f'of {len(images)} images'
    )
    if arguments.half_checkpoint:
        from minisegnet_core.checkpoint import load_checkpoint, save_checkpoint

        save_checkpoint(output.with_suffix('.safetensors'), *load_checkpoint(arguments.checkpoint), half=True)
        print(output.with_suffix('.safetensors'))
    return 0


def _read_images(folder: Path) -> list[NDArray[np.uint8]]:
    paths = sorted(p for p in folder.glob('*') if p.suffix.lower() in ('.jpg', '.jpeg', '.png'))
    if not paths:
        raise ModelError(f'--check-images {folder} holds no .jpg or .png')
    step = max(1, len(paths) // CHECK_IMAGES)
    return [read_image(path) for path in paths[::step][:CHECK_IMAGES]]


def _render_images() -> list[NDArray[np.uint8]]:
    from minisegnet_core.scenes import SceneConfig, render_scene

    config = SceneConfig.from_preset('mixed')
    return [render_scene(config, 0, index).image for index in range(CHECK_IMAGES)]
