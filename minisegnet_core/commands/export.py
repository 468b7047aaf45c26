"""Export a checkpoint to one ONNX file that takes the pixels of a camera, checked against PyTorch.

    minisegnet export runs/first/best.safetensors --output robot.onnx
    minisegnet export runs/first/best.safetensors --output robot_int8.onnx --int8 --calibration venue_images

--int8 needs nncf and takes minutes. The file is rejected if it loses more than --max-drop of mean IoU.
"""

from __future__ import annotations

from collections.abc import Sequence

from minisegnet_core.cli import command
from minisegnet_core.commands.parser import CommandParser, integer, number, path
from minisegnet_core.commands.progress import progress
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.export.job import Int8Job, OnnxJob


def make_parser(prog: str) -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser.of(prog, __doc__)
    parser.add_argument('checkpoint', type=path, metavar='CHECKPOINT', help='best.safetensors or last.ckpt of a run')
    parser.add_argument('--output', type=path, required=True, metavar='FILE', help='ONNX file to write')
    parser.add_argument(
        '--check-images',
        type=path,
        metavar='DIR',
        help='folder of images for the comparison with PyTorch (default: rendered scenes)',
    )
    parser.add_argument(
        '--float32',
        action='store_true',
        help='store weights as float32: twice the size, for engines without float16',
    )
    parser.add_argument(
        '--half-checkpoint',
        action='store_true',
        help='also write the checkpoint with half-precision weights, with the suffix .safetensors, and make the ONNX '
        'file from it, so that both hold the same network',
    )
    group = parser.add_argument_group('int8')
    group.add_argument(
        '--int8', action='store_true', help='quantize to int8, the fastest precision with OpenVINO (needs nncf)'
    )
    group.add_argument(
        '--calibration',
        type=path,
        metavar='DIR',
        help='data set or folder of images that resemble a match (default: rendered scenes)',
    )
    group.add_argument(
        '--calibration-images',
        type=integer(1),
        default=Int8Job.calibration_images,
        metavar='N',
        help='number of calibration images',
    )
    group.add_argument(
        '--validation',
        type=path,
        metavar='DIR',
        help='data set on which float32 and int8 are compared (default: data set of --calibration, or rendered scenes)',
    )
    group.add_argument(
        '--validation-images',
        type=integer(1),
        default=Int8Job.validation_images,
        metavar='N',
        help='maximum number of validation images',
    )
    group.add_argument(
        '--max-drop',
        type=number(),
        default=Int8Job.maximum_drop,
        metavar='X',
        help='maximum loss of mean IoU; a file that loses more is rejected',
    )
    return parser


def parse(argv: Sequence[str], prog: str) -> OnnxJob | Int8Job:
    """Parse the command line.

    Raises:
        ConfigurationError: options of the float export and of the int8 export are combined.
    """
    values = make_parser(prog).parse_args(argv)
    if not values.int8:
        if values.calibration or values.validation:
            raise ConfigurationError('--calibration and --validation need --int8; add it')
        return OnnxJob(
            values.checkpoint, values.output, values.check_images, not values.float32, values.half_checkpoint
        )
    if values.check_images or values.float32 or values.half_checkpoint:
        raise ConfigurationError('--check-images, --float32 and --half-checkpoint cannot be combined with --int8')
    return Int8Job(
        values.checkpoint,
        values.output,
        values.calibration,
        values.calibration_images,
        values.validation,
        values.validation_images,
        values.max_drop,
    )


@command
def main(argv: Sequence[str], prog: str) -> int:
    job = parse(argv, prog)
    if isinstance(job, OnnxJob):
        result = job.run()
        print(
            f'{_described(job)}: agrees with PyTorch on {result.agreement:.3%} of the label pixels of '
            f'{result.images} images'
        )
        if result.halved is not None:
            print(result.halved)
        return 0
    agreement = job.run(progress('render', 'scene'), progress('compare with float32', 'image'))
    moved = f', the ball moved by {agreement.ball_shift:.2f} px (median of {agreement.balls} images)'
    print(
        f'{_described(job)}: mean IoU {agreement.mean_iou:.4f}, float32 {agreement.reference_mean_iou:.4f} on '
        f'{agreement.images} images; {agreement.label_agreement:.2%} of the labels are equal'
        f'{moved if agreement.balls else ""}'
    )
    return 0


def _described(job: OnnxJob | Int8Job) -> str:
    return f'{job.output} ({job.output.stat().st_size / 1e6:.1f} MB)'
