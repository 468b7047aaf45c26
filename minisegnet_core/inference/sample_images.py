"""Images on which models are checked, calibrated and measured: a folder's, a data set's, or rendered scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import SOCCER, ClassSet
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import DatasetError, ModelError
from minisegnet_core.imaging import IMAGE_SUFFIXES, is_image_file, read_image
from minisegnet_core.inference.agreement import LabelledPair
from minisegnet_core.resources import find_config

Item = TypeVar('Item')

Progress = Callable[[Iterable[Any]], Iterable[Any]]
"""Wraps what takes long, one item a step."""

CALIBRATION_SEED = 8
"""Of the scenes rendered for calibration."""


def labelled_images(
    source: str | Path | None, count: int, classes: ClassSet = SOCCER, progress: Progress = iter
) -> list[LabelledPair]:
    """Up to ``count`` images, with labels where there are some.

    Args:
        source: a data set (its validation images), a folder of images (no labels), or None: the first scenes of the
            frozen validation set, rendered here; their labels only where ``classes`` have the scenes' names.
        classes: of the model.
        progress: wraps the scenes to render.

    Raises:
        DatasetError: the folder is missing, or its data set has other classes.
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
                f'{folder} has the classes {", ".join(dataset.classes.names)}, the model {", ".join(classes.names)}; '
                'they must be the same'
            )
        if dataset.absent:
            raise DatasetError(f'{folder} draws no {", ".join(dataset.absent)}; give a data set with all classes')
        return [sample.read() for sample in _spread(dataset.split('val'), count)]
    return [(image, None) for image in folder_images(folder, count)]


def calibration_images(source: str | Path | None, count: int, progress: Progress = iter) -> list[NDArray[np.uint8]]:
    """Up to ``count`` (H, W, 3) uint8 RGB images for the ranges of activations.

    Args:
        source: a data set (its training images), a folder of images, or None: rendered scenes of the preset ``mixed``,
            none of which is in the frozen validation set.
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
    """The first ``count`` scenes of the frozen validation set: images and full-size labels."""
    import yaml

    from minisegnet_core.scenes import SceneConfig, render_scene

    content = yaml.safe_load(find_config('validation.yaml').read_text())
    seed = int(content.pop('seed'))
    for key in ('count', 'val_fraction'):
        content.pop(key, None)
    config = SceneConfig.from_mapping(content)
    scenes = (render_scene(config, seed, index) for index in progress(range(count)))
    return [(scene.image, scene.labels) for scene in scenes]


def folder_images(folder: Path, count: int) -> list[NDArray[np.uint8]]:
    """Up to ``count`` images of a folder, spread over it by name.

    Raises:
        ModelError: there is no such folder, or no image in it.
    """
    paths = sorted(p for p in folder.glob('*') if is_image_file(p))
    if not paths:
        raise ModelError(f'{folder} holds no images ({", ".join(IMAGE_SUFFIXES)})')
    return [read_image(path) for path in _spread(paths, count)]


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """``count`` of the items, evenly spread; all where there are no more."""
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / max(count - 1, 1))] for index in range(count)]
