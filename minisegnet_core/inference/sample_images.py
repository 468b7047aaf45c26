"""Images on which models are checked, calibrated and measured: from a folder, a data set, or rendered scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import SOCCER, ClassSet
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import DatasetError, ModelError
from minisegnet_core.files import read_yaml_mapping
from minisegnet_core.imaging import IMAGE_SUFFIXES, is_image_file, read_image
from minisegnet_core.inference.agreement import LabelledPair
from minisegnet_core.resources import find_config

Item = TypeVar('Item')

Progress = Callable[[Iterable[Any]], Iterable[Any]]
"""Wrap the items of a long loop to display its progress."""

CALIBRATION_SEED = 8
"""Seed of the scenes rendered for calibration."""

NOT_RANGES = ('count', 'val_share', 'val_fraction')
"""Settings of ``validation.yaml`` that describe the series of scenes and not one scene."""


def labelled_images(
    source: str | Path | None, count: int, classes: ClassSet = SOCCER, progress: Progress = iter
) -> list[LabelledPair]:
    """Return up to ``count`` images, with labels where the source has them.

    Args:
        source: a data set (its validation images), a folder of images (no labels), or None for the first scenes of the
            frozen validation set, which are rendered here.
        classes: classes of the model. Rendered scenes have labels only if the names of the classes are theirs.
        progress: wraps the scenes to render.

    Raises:
        DatasetError: the folder is missing, or its data set has other classes or unlabelled ones.
        ModelError: the folder holds no images.
    """
    if source is None:
        known = classes.names == SOCCER.names
        return [(image, labels if known else None) for image, labels in rendered(count, progress)]
    folder = Path(source)
    if (folder / 'dataset.yaml').is_file():
        dataset = open_dataset(folder)
        if dataset.classes.names != classes.names:
            raise DatasetError(
                f'{folder} has the classes {", ".join(dataset.classes.names)} but the model has '
                f'{", ".join(classes.names)}; give a data set with the classes of the model'
            )
        if dataset.absent:
            raise DatasetError(f'{folder} does not label {", ".join(dataset.absent)}; give a data set with all classes')
        return [sample.read() for sample in _spread(dataset.split('val'), count)]
    return [(image, None) for image in folder_images(folder, count)]


def calibration_images(source: str | Path | None, count: int, progress: Progress = iter) -> list[NDArray[np.uint8]]:
    """Return up to ``count`` (H, W, 3) uint8 RGB images from which the ranges of activations are measured.

    Args:
        source: a data set (its training images), a folder of images, or None for rendered scenes of the preset
            ``mixed``, none of which is in the frozen validation set.
        progress: wraps the scenes to render.

    Raises:
        DatasetError, ModelError: the folder is missing or holds no images.
    """
    if source is None:
        from minisegnet_core.scenes import SceneConfig, render_scene

        config = SceneConfig.from_preset('mixed')
        return [render_scene(config, CALIBRATION_SEED, index).image for index in progress(range(count))]
    folder = Path(source)
    if (folder / 'dataset.yaml').is_file():
        return [read_image(sample.image_path) for sample in _spread(open_dataset(folder).split('train'), count)]
    return folder_images(folder, count)


def rendered(count: int, progress: Progress = iter) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Render the first ``count`` scenes of the frozen validation set.

    Returns:
        Images, (H, W, 3) uint8 RGB, with full-size labels, (H, W) uint8 ids.
    """
    from minisegnet_core.scenes import SceneConfig, render_scene

    content = read_yaml_mapping(find_config('validation.yaml'))
    seed = int(content.pop('seed'))
    config = SceneConfig.from_mapping({key: value for key, value in content.items() if key not in NOT_RANGES})
    scenes = (render_scene(config, seed, index) for index in progress(range(count)))
    return [(scene.image, scene.labels) for scene in scenes]


def folder_images(folder: Path, count: int) -> list[NDArray[np.uint8]]:
    """Return up to ``count`` images of a folder, evenly spaced in the order of their names.

    Raises:
        ModelError: there is no such folder, or it holds no images.
    """
    paths = sorted(p for p in folder.glob('*') if is_image_file(p))
    if not paths:
        raise ModelError(f'{folder} holds no images ({", ".join(IMAGE_SUFFIXES)})')
    return [read_image(path) for path in _spread(paths, count)]


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return ``count`` evenly spaced items, or all if there are no more."""
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / max(count - 1, 1))] for index in range(count)]
