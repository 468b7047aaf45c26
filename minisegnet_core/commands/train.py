"""Train the network by the staged schedule on a data set, with progress, resumable.

    minisegnet synthesize --output scenes --count 1000
    minisegnet train --data scenes --output runs/first

Settings come from the built-in defaults, then --config FILE (config/train.yaml shows all), then the command line, where
any of them can be set: --stage1.epochs 10 --stage3.lr 1e-4 --class_weights "[1,3,2,1]".

Several GPUs: torchrun --nproc-per-node 4 --no-python minisegnet train --data scenes --output runs/first
Fine-tuning:  minisegnet train --config finetune.yaml --init-from models/minisegnet.safetensors --data venue
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter
from tqdm import tqdm

from minisegnet_core.cli import command
from minisegnet_core.data.dataset import Sample
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.resources import find_config
from minisegnet_core.training.config import AugmentConfig, LossConfig, StageConfig, TrainConfig

if TYPE_CHECKING:  # it imports torch, which --help and a list of commands must not need
    from minisegnet_core.training.run_folder import EpochRow

SHOWN_SAMPLES = 8
SMOKE_STAGE_EPOCHS = 1
SMOKE_IMAGES = {'train': 8, 'val': 4}
SMOKE_SIZE = (160, 128)


class TerminalReporter:
    """Shows a training's progress: a bar per epoch, a line of figures after it."""

    def message(self, text: str) -> None:
        tqdm.write(text, file=sys.stderr)  # stdout is for results

    def reading(self, samples: Sequence[Sample]) -> Iterable[Sample]:
        read: Iterable[Sample] = tqdm(samples, desc='reading images', unit='image', leave=False)
        return read

    @contextlib.contextmanager
    def epoch(self, name: str, steps: int) -> Iterator[Callable[[float, float], None]]:
        with tqdm(total=steps, desc=name, unit='step', leave=False) as bar:

            def on_step(loss: float, rate: float) -> None:
                bar.set_postfix(loss=f'{loss:.3f}', lr=f'{rate:.1e}', refresh=False)
                bar.update()

            yield on_step

    def epoch_done(self, row: EpochRow) -> None:
        ious = ' '.join(f'{name} {value:.3f}' for name, value in row.iou.items())
        tqdm.write(
            f'epoch {row.epoch:3} {row.stage} {row.resolution}: loss {row.train_loss:.3f} / {row.val_loss:.3f}, '
            f'mean IoU {row.mean_iou:.3f} ({ious}), balls found {row.ball_found} missed {row.ball_missed} '
            f'false {row.ball_false}, error {row.ball_error_px:.1f} px'
        )


class HelpFormatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):  # type: ignore[misc]
    """Keeps the examples in the description as they are."""


def make_parser(prog: str, description: str) -> ArgumentParser:
    """A parser in which every field of :class:`TrainConfig` is an option."""
    # No abbreviations: --stage1.epoch would work here, and be refused in a file.
    parser = ArgumentParser(prog=prog, description=description, formatter_class=HelpFormatter, allow_abbrev=False)
    parser.add_argument(
        '--config',
        action=ActionConfigFile,
        help='YAML file of settings, or the name of one that comes with this package: train.yaml, finetune.yaml',
    )
    parser.add_class_arguments(TrainConfig, as_group=True)
    return parser


def parse_settings(parser: ArgumentParser, argv: Sequence[str]) -> tuple[Any, TrainConfig]:
    """The parsed options, and the training's settings among them. Options take hyphens as well as underscores, and
    ``--config`` the name of a file that comes with the package as well as a path.
    """
    arguments = parser.parse_args(_with_shipped_configs([_underscored(a) for a in argv]))
    values = arguments.as_dict()
    settings: dict[str, Any] = {field.name: values[field.name] for field in fields(TrainConfig)}
    for name in TrainConfig().stages:
        settings[name] = StageConfig(**settings[name])
    settings['augment'] = AugmentConfig(**settings['augment'])
    settings['loss'] = LossConfig(**settings['loss'])
    return arguments, TrainConfig(**settings)


def _train_parser(prog: str) -> ArgumentParser:
    parser = make_parser(prog, __doc__ or '')
    parser.add_argument('--resume', action='store_true', help='go on from OUTPUT/last.ckpt after an interruption')
    parser.add_argument(
        '--show_samples', metavar='FILE', help='write a picture of augmented training samples as PNG or JPEG, and stop'
    )
    parser.add_argument(
        '--smoke',
        action='store_true',
        help='go through all stages on a few images within a minute, to see that everything works: '
        'the first of --data, or small ones that it renders itself',
    )
    return parser


def smoke_config(config: TrainConfig, data: Path) -> TrainConfig:
    """The same training, small: one epoch a stage, no weights to fetch, no worker processes."""

    def small(stage: StageConfig) -> StageConfig:
        return replace(stage, epochs=SMOKE_STAGE_EPOCHS, batch_size=2, accumulation=1, images=0)

    return replace(
        config,
        data=str(data),
        encoder_weights='none' if not config.init_from else config.encoder_weights,
        workers=0,
        stage1=small(config.stage1),
        stage2=small(config.stage2),
        stage3=small(config.stage3),
    )


@command
def main(argv: Sequence[str], prog: str) -> int:
    arguments, config = parse_settings(_train_parser(prog), argv)
    smoke, resume, picture = arguments.smoke, arguments.resume, arguments.show_samples
    with tempfile.TemporaryDirectory(prefix='minisegnet-smoke-') as folder:
        if smoke:
            if config.data:
                _copy_few(config.data, Path(folder))
            else:
                _render_smoke_data(Path(folder))
            config = smoke_config(config, Path(folder))
        elif not config.data:
            raise ConfigurationError('--data is missing: the folder of a data set; `minisegnet synthesize` renders one')
        if picture:
            print(show_samples(config, Path(picture)))
            return 0
        from minisegnet_core.training.fine_tuning import table
        from minisegnet_core.training.trainer import train  # imports torch: seconds that --help need not take

        reporter = TerminalReporter()
        try:
            result = train(config, resume=resume, reporter=reporter)
        except KeyboardInterrupt:
            reporter.message(f'stopped; --resume goes on from the last whole epoch in {config.output}')
            raise
    if not result.main_process:
        return 0
    if result.fine_tuning:
        print(table(result.fine_tuning))
    print(
        f'best: epoch {result.best.epoch}, mean IoU {result.best.mean_iou:.3f} at {result.best.resolution} resolution\n'
        f'{result.best_checkpoint}'
    )
    return 0


def show_samples(config: TrainConfig, path: Path) -> Path:
    """Writes a picture of training samples as the first stage's first epochs will see them."""
    from minisegnet_core.data.dataset import open_dataset
    from minisegnet_core.imaging import write_image
    from minisegnet_core.training.data.loader import SegmentationDataset
    from minisegnet_core.training.data.reading import SampleReader
    from minisegnet_core.training.data.sample_sheet import augmented_samples_sheet

    config.check()
    dataset = open_dataset(config.data)
    stage = next(stage for stage in config.stages.values() if stage.epochs)
    reader = SampleReader(stage.resolution)
    data = SegmentationDataset(
        dataset.split('train'), dataset.classes, reader, augment=config.augment, seed=config.seed
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, augmented_samples_sheet(data, dataset.classes, SHOWN_SAMPLES))
    return path


def _with_shipped_configs(argv: list[str]) -> list[str]:
    found = []
    for before, argument in zip(['', *argv], argv, strict=False):
        option, equals, name = argument.partition('=') if argument.startswith('--config=') else ('', '', argument)
        is_name = name == Path(name).name and not Path(name).exists()
        if is_name and (equals or before == '--config'):
            found.append(option + equals + str(find_config(name)))
        else:
            found.append(argument)
    return found


def _underscored(argument: str) -> str:
    if not argument.startswith('--'):
        return argument
    name, equals, value = argument.partition('=')
    setting, dot, key = name[2:].partition('.')
    if setting != 'repeat':  # whose keys are how names of images begin
        key = key.replace('-', '_')
    return '--' + setting.replace('-', '_') + dot + key + equals + value


def _copy_few(data: str, folder: Path) -> None:
    """The first images of each split: a data set of thousands would take hours in batches of two."""
    from minisegnet_core.data.dataset import open_dataset
    from minisegnet_core.data.writer import DatasetWriter

    dataset = open_dataset(data)
    with DatasetWriter(folder, dataset.classes, absent=dataset.absent) as writer:
        for split, count in SMOKE_IMAGES.items():
            for sample in dataset.split(split)[:count]:
                writer.add(
                    sample.name, *sample.read(), split=split, balls=sample.balls, group=sample.group, stamp=sample.stamp
                )


def _render_smoke_data(folder: Path) -> None:
    from minisegnet_core.data.writer import DatasetWriter
    from minisegnet_core.scenes import SceneConfig, render_scene

    width, height = SMOKE_SIZE
    scenes = SceneConfig.from_mapping({'preset': 'mixed', 'image': {'width': width, 'height': height}})
    with DatasetWriter(folder) as writer:
        index = 0
        for split, count in SMOKE_IMAGES.items():
            for _ in range(count):
                scene = render_scene(scenes, 0, index)
                writer.add(f'{index:03}', scene.image, scene.labels, split=split, balls=scene.balls)
                index += 1
