"""Export a checkpoint to one ONNX file that takes the camera's pixels, checked against PyTorch before it is kept.

    minisegnet export runs/first/best.safetensors --output robot.onnx
    minisegnet export runs/first/best.safetensors --output robot_int8.onnx --int8 --calibration venue_images

--int8 needs nncf and takes minutes; the file is refused if it loses more than --max-drop of mean IoU.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from minisegnet_core.classes import SOCCER
from minisegnet_core.cli import command
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.export.int8 import MAXIMUM_DROP

CHECK_IMAGES = 8
"""Images taken of --check-images, and scenes rendered where none are given."""

VALIDATION_IMAGES = 500
"""To judge int8 by: in 100 scenes one near wall weighs more than all that int8 may lose (docs/inference.md)."""


@command
def main(argv: Sequence[str], prog: str) -> int:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
        help='write the checkpoint beside it too, ending in .safetensors, with half-precision weights, to go on from; '
        'the ONNX file is made from it, so that both hold the same network',
    )
    int8 = parser.add_argument_group('int8')
    int8.add_argument('--int8', action='store_true', help='quantize to int8, the fastest with OpenVINO (needs nncf)')
    int8.add_argument(
        '--calibration',
        type=str,
        default=None,
        help='data set, or folder of images, like those of the match (default: rendered scenes)',
    )
    int8.add_argument('--calibration-images', type=int, default=100, help='how many of them (default: 100)')
    int8.add_argument(
        '--validation',
        type=str,
        default=None,
        help='data set on which float32 and int8 are compared (default: that of --calibration, else rendered scenes)',
    )
    int8.add_argument(
        '--validation-images',
        type=int,
        default=VALIDATION_IMAGES,
        help=f'how many of them (default: {VALIDATION_IMAGES}, or all where there are fewer)',
    )
    int8.add_argument(
        '--max-drop', type=float, default=MAXIMUM_DROP, help=f'mean IoU it may lose (default: {MAXIMUM_DROP:g})'
    )
    arguments = parser.parse_args(list(argv))
    checkpoint, output = Path(arguments.checkpoint), Path(arguments.output)
    if arguments.int8:
        return _export_int8(arguments, checkpoint, output)
    if arguments.calibration or arguments.validation:
        raise ConfigurationError('--calibration and --validation go with --int8 only')
    from minisegnet_core.export.onnx_export import export_onnx, export_with_checkpoint
    from minisegnet_core.inference.sample_images import folder_images, rendered

    if arguments.check_images:
        images = folder_images(Path(arguments.check_images), CHECK_IMAGES)
    else:
        images = [image for image, _ in rendered(CHECK_IMAGES)]
    half = not arguments.float32
    if arguments.half_checkpoint:
        halved = output.with_suffix('.safetensors')
        agreement = export_with_checkpoint(checkpoint, output, halved, half=half, images=images)
    else:
        agreement = export_onnx(checkpoint, output, half=half, images=images)
    print(
        f'{output} ({output.stat().st_size / 1e6:.1f} MB): agrees with PyTorch on {agreement:.3%} of the label pixels '
        f'of {len(images)} images'
    )
    if arguments.half_checkpoint:
        print(halved)
    return 0


def _export_int8(arguments: argparse.Namespace, checkpoint: Path, output: Path) -> int:
    if arguments.check_images or arguments.float32 or arguments.half_checkpoint:
        raise ConfigurationError('--check-images, --float32 and --half-checkpoint do not go with --int8')
    if arguments.calibration_images < 1 or arguments.validation_images < 1:
        raise ConfigurationError('--calibration-images and --validation-images must be at least 1')
    from minisegnet_core.checkpoint import load_checkpoint
    from minisegnet_core.export.int8 import export_int8, no_labels
    from minisegnet_core.inference.sample_images import calibration_images, labelled_images

    classes = load_checkpoint(checkpoint)[1].classes  # a missing checkpoint is told before anything is rendered
    source = arguments.calibration
    labelled = arguments.validation or (source if source and (Path(source) / 'dataset.yaml').is_file() else None)
    if labelled is None and classes.names != SOCCER.names:  # the scenes to be rendered show none of them
        raise no_labels(classes)
    render = partial(tqdm, desc='render', unit='scene', leave=False)
    agreement = export_int8(
        checkpoint,
        output,
        calibration_images(source, arguments.calibration_images, render),
        labelled_images(labelled, arguments.validation_images, classes, render),
        arguments.max_drop,
        partial(tqdm, desc='compare with float32', unit='image', leave=False),
    )
    print(
        f'{output} ({output.stat().st_size / 1e6:.1f} MB): mean IoU {agreement.mean_iou:.4f}, float32 '
        f'{agreement.reference_mean_iou:.4f} on {agreement.images} images; {agreement.label_agreement:.2%} of the '
        f'labels are equal, the ball moved by {agreement.ball_shift:.2f} px at the median of {agreement.balls}'
    )
    return 0
