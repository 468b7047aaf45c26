"""Series of rendered images: what to render, rendering by several processes, data sets, and contact sheets.

A data set that was interrupted is usable, and the next call continues it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import SOCCER
from minisegnet_core.data.annotations import read_annotations
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter, write_sample
from minisegnet_core.errors import ConfigurationError, DatasetError, shortened, suggestion
from minisegnet_core.files import read_json, write_text_atomically
from minisegnet_core.imaging import write_image
from minisegnet_core.parallel import map_in_processes
from minisegnet_core.scenes.appearance.photos import photo, photo_paths
from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.renderer import LabelledImage, render_scene
from minisegnet_core.scenes.sequence import SceneSequence
from minisegnet_core.settings import read_settings_file, settings_class
from minisegnet_core.visualization import colorize, contact_sheet

RECORD = 'synthesize.json'
"""File in the output folder that describes the series, so that only the same series continues it."""

START = 1_700_000_000_000_000_000
"""Nanoseconds; stamp of the first frame of a sequence. Not 0, which ROS reads as "no stamp"."""

PREVIEW_IMAGES = 24
PREVIEW_COLUMNS = 3
PREVIEW_WIDTH = 480
"""Number of images on a contact sheet, of its columns, and width in pixels of an image beside its labels."""

Item = TypeVar('Item')
Progress = Callable[[Iterable[Item], int, int], Iterable[Item]]
"""Wraps the results as they arrive; takes the total number of images and the number that existed before."""


def no_progress(results: Iterable[Item], total: int, done: int) -> Iterable[Item]:
    """Return the results without a display."""
    return results


@settings_class
class Series:
    """What to render: ``count`` scenes, or ``count`` frames of one sequence. Values are validated.

    Attributes:
        config: all ranges from which scenes are drawn.
        seed: of the series. The same series gives the same bytes, whatever the number of workers.
        count: number of images.
        sequence: render frames of one scene in which the robot walks and the ball rolls.
        fps: frames per second of sequences and bags.
        val_fraction: fraction of a data set's images in the split ``val``, 0 to 1; the rest are in ``train``.
    """

    config: SceneConfig = dataclasses.field(default_factory=lambda: SceneConfig.from_preset('mixed'))
    seed: Annotated[int, Field(ge=0)] = 0
    count: Annotated[int, Field(ge=1)] = 1000
    sequence: bool = False
    fps: Annotated[float, Field(gt=0)] = 10.0
    val_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any], origin: str = '') -> Series:
        """Return a series from a mapping: ``seed``, ``count`` and the like, ``preset``, and sections of settings.

        Args:
            content: for example ``{'preset': 'spl', 'seed': 3, 'camera': {'height': [0.5, 0.7]}}``.
            origin: file that the values come from, for messages.

        Raises:
            ConfigurationError: a setting is unknown or outside its limits; the message names it.
        """
        where = f'{origin}: ' if origin else ''
        own = {field.name for field in dataclasses.fields(cls)} - {'config'}
        known = {*own, 'preset', *(field.name for field in dataclasses.fields(SceneConfig))}
        for name in content:
            if name not in known:
                hint = suggestion(str(name), known) or f'; choose from {", ".join(sorted(known))}'
                raise ConfigurationError(f'{where}there is no setting {shortened(repr(name))}{hint}')
        values = {name: value for name, value in content.items() if name in own}
        config = SceneConfig.from_mapping({k: v for k, v in content.items() if k not in own}, origin)
        try:
            return cls(config=config, **values)
        except ConfigurationError as error:
            raise ConfigurationError(f'{where}{error}') from None

    @classmethod
    def from_yaml(cls, path: Path | str) -> Series:
        """Return a series from a YAML file such as ``config/validation.yaml``; see :meth:`from_mapping`.

        Raises:
            ConfigurationError: the file is missing, is not YAML, or holds a wrong setting.
        """
        return cls.from_mapping(read_settings_file(Path(path)), str(path))

    def name(self, index: int) -> str:
        """Return the name of an image."""
        return f'{"frame" if self.sequence else "scene"}_{index:06d}'

    def stamp(self, index: int) -> int:
        """Return the stamp of a frame in nanoseconds."""
        return START + round(index * 1e9 / self.fps)

    def render(self, index: int) -> LabelledImage:
        """Render image ``index``, 0 to count - 1, in any order and process."""
        if self.sequence:
            return _sequence(self.config, self.seed, self.fps).frame(index)
        return render_scene(self.config, self.seed, index)

    def describe(self) -> dict[str, Any]:
        """Return everything that determines the bytes of an image."""
        kind = {'sequence': True, 'fps': self.fps} if self.sequence else {'sequence': False}
        return {'seed': self.seed, **kind, 'config': self.config.to_mapping()}

    def check_photos(self) -> None:
        """Read all photos of the folders in the configuration, so that a bad one is reported before rendering begins.

        Raises:
            ConfigurationError: a folder is missing or empty, or a photo cannot be read.
        """
        for folder in (self.config.hall.backgrounds, self.config.turf.textures):
            if folder:
                for path in photo_paths(folder):
                    photo(path)


@lru_cache(maxsize=1)
def _sequence(config: SceneConfig, seed: int, fps: float) -> SceneSequence:
    """Return a sequence, whose scene each process draws once."""
    return SceneSequence(config, seed, fps)


def write_dataset(
    series: Series,
    output: Path,
    *,
    image_format: str = 'jpg',
    workers: int = 1,
    progress: Progress[Any] = no_progress,
) -> int:
    """Render a series into a data set. Existing images of the series are kept.

    When the call is interrupted, the images rendered so far are a data set, and the next call continues it.

    Args:
        series: what to render.
        output: folder of the data set.
        image_format: ``jpg`` or ``png``.
        workers: number of processes; with more than one, a script needs a main guard.
        progress: wraps the results for a display.

    Returns:
        The number of images rendered by this call.

    Raises:
        DatasetError: ``output`` holds something else, or cannot be written.
        ConfigurationError: the worker processes ended early, or a photo cannot be read.
    """
    claim_folder(output, {**series.describe(), 'val_fraction': series.val_fraction, 'extension': image_format})
    writer = DatasetWriter(output)
    annotations = read_annotations(output / 'annotations.jsonl')
    finished = {name: entry for name, entry in annotations.items() if _is_complete(output, name, image_format)}
    missing = [index for index in range(series.count) if series.name(index) not in finished]
    rendered: dict[int, tuple[tuple[BallTruth, ...], dict[str, Any]]] = {}
    render = partial(_write_image, series, output, image_format)
    try:
        with closing(map_in_processes(render, missing, workers)) as results:
            for index, annotation in progress(results, series.count, series.count - len(missing)):
                rendered[index] = annotation
    finally:
        with writer:
            for index in range(series.count):
                name = series.name(index)
                if index in rendered:
                    balls, camera = rendered[index]
                elif name in finished:
                    balls = finished[name].balls or ()
                    camera = finished[name].entry['camera']
                else:
                    continue
                writer.add(
                    name,
                    None,
                    None,
                    split='val' if _is_validation(series, index) else 'train',
                    group=f'sequence_{series.seed}' if series.sequence else None,
                    balls=balls,
                    stamp=series.stamp(index) if series.sequence else None,
                    camera=camera,
                )
    return len(missing)


def _write_image(
    series: Series, root: Path, extension: str, index: int
) -> tuple[tuple[BallTruth, ...], dict[str, Any]]:
    """Render an image, write its two files, and return its annotations."""
    rendered = series.render(index)
    write_sample(root, series.name(index), rendered.image, rendered.labels, extension)
    return rendered.balls, rendered.camera.describe()


def _is_complete(root: Path, name: str, extension: str) -> bool:
    return (root / 'images' / f'{name}.{extension}').is_file() and (root / 'labels' / f'{name}.png').is_file()


def _is_validation(series: Series, index: int) -> bool:
    """Return whether an image is in the split val. Such images are spread evenly, whatever the count.

    A sequence is one group, so it is in one split.
    """
    fraction = series.val_fraction
    if series.sequence:
        return fraction >= 1
    return int((index + 1) * fraction + 1e-9) > int(index * fraction + 1e-9)


def claim_folder(folder: Path, description: dict[str, Any]) -> None:
    """Create a folder for a series, or make sure that it holds the beginning of the same series.

    Args:
        folder: is created if it is missing.
        description: of the series; is stored in the folder's RECORD.

    Raises:
        DatasetError: the folder holds something else.
    """
    record = folder / RECORD
    description = json.loads(json.dumps(description))
    if record.is_file():
        held = read_json(record, DatasetError)
        if held != description:
            other = [key for key in description if not isinstance(held, dict) or held.get(key) != description[key]]
            raise DatasetError(
                f'{folder} holds a series with other settings ({", ".join(other)}); choose another --output'
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise DatasetError(f'{folder} is not empty and was not written by synthesize; choose another --output')
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(record, json.dumps(description))


def write_preview(series: Series, path: Path, count: int = PREVIEW_IMAGES) -> None:
    """Write a contact sheet of the first images of a series beside their coloured labels."""
    with closing(map_in_processes(series.render, range(min(series.count, count)), 1)) as results:
        _write_sheet(path, [np.hstack([one.image, colorize(one.labels, SOCCER)]) for _, one in results])


def write_dataset_preview(root: Path, path: Path, count: int = PREVIEW_IMAGES) -> None:
    """Write a contact sheet of evenly picked images of a data set beside their coloured labels.

    Raises:
        DatasetError: ``root`` is not a data set, or a file of it cannot be read.
    """
    dataset = open_dataset(root)
    samples = [sample for split in dataset.splits.values() for sample in split]
    picked = samples[:: max(1, len(samples) // count)][:count]
    pairs = [sample.read() for sample in picked]
    _write_sheet(path, [np.hstack([image, colorize(labels, dataset.classes)]) for image, labels in pairs])


def _write_sheet(path: Path, cells: Sequence[NDArray[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, contact_sheet(cells, PREVIEW_COLUMNS, PREVIEW_WIDTH))
