"""Smoke runs: a training made so small that all stages finish within a minute, to check that everything works."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.training.config import StageConfig, TrainConfig

IMAGES = {'train': 8, 'val': 4}
SIZE = (160, 128)
"""Width and height of rendered images."""


def make_smoke_config(config: TrainConfig, folder: Path) -> TrainConfig:
    """Write a small data set and return a configuration that trains one epoch of each stage on it.

    Nothing is downloaded, and no worker processes are used.

    Args:
        config: its ``data`` gives the first images of each split; without ``data`` scenes are rendered.
        folder: for the data set.

    Raises:
        DatasetError, ImageError: the data set cannot be used.
    """
    if config.data:
        _copy_first_images(config.data, folder)
    else:
        _render_scenes(folder)
    return replace(
        config,
        data=str(folder),
        encoder_weights=config.encoder_weights if config.init_from else 'none',
        workers=0,
        stage1=_small(config.stage1),
        stage2=_small(config.stage2),
        stage3=_small(config.stage3),
    )


def _small(stage: StageConfig) -> StageConfig:
    return replace(stage, epochs=1, batch_size=2, accumulation=1, images=0)


def _copy_first_images(data: str, folder: Path) -> None:
    dataset = open_dataset(data)
    with DatasetWriter(folder, dataset.classes, absent=dataset.absent) as writer:
        for split, count in IMAGES.items():
            for sample in dataset.split(split)[:count]:
                writer.add(
                    sample.name, *sample.read(), split=split, balls=sample.balls, group=sample.group, stamp=sample.stamp
                )


def _render_scenes(folder: Path) -> None:
    from minisegnet_core.scenes import SceneConfig, render_scene  # a layer that training does not depend on

    width, height = SIZE
    scenes = SceneConfig.from_mapping({'preset': 'mixed', 'image': {'width': width, 'height': height}})
    index = 0
    with DatasetWriter(folder) as writer:
        for split, count in IMAGES.items():
            for _ in range(count):
                scene = render_scene(scenes, 0, index)
                writer.add(f'{index:03}', scene.image, scene.labels, split=split, balls=scene.balls)
                index += 1
