"""The half-resolution copy of a data set's images: made once, kept beside it, remade where the source changed.

Only images are copied. Labels of the half-resolution stages are reduced from the full-size ones (8x8 blocks), never
from a shrunk label image.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from minisegnet_core.data.dataset import Sample, read_image, write_image
from minisegnet_core.errors import DatasetError
from minisegnet_core.geometry import half_size

MANIFEST = 'manifest.json'
Progress = Callable[[Sequence[Sample]], Iterable[Sample]]


def half_resolution_images(
    samples: Sequence[Sample], folder: Path, progress: Progress = lambda samples: samples
) -> dict[str, Path]:
    """Paths of the half-resolution images of ``samples``, by name; makes those that lack or are out of date.

    A copy is up to date if its source has the size and modification time that the manifest recorded for it.

    Args:
        folder: where the copy is kept.
        progress: wraps the samples that must be made, to show progress.

    Raises:
        DatasetError: the folder cannot be written.
        ImageError: a source image cannot be read.
    """
    manifest_path = folder / MANIFEST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        manifest = json.loads(manifest_path.read_text()) if manifest_path.is_file() else {}
    except OSError as error:
        raise DatasetError(f'the half-resolution copy cannot be kept in {folder}: {error}') from error
    except json.JSONDecodeError:
        manifest = {}  # damaged: everything is made again
    paths = {sample.name: folder / f'{sample.name}.png' for sample in samples}
    stale = [s for s in samples if manifest.get(s.name) != _fingerprint(s) or not paths[s.name].is_file()]
    if stale:
        try:
            for sample in progress(stale):
                image = read_image(sample.image_path)
                width, height = half_size(image.shape[1], image.shape[0])
                half = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
                write_image(paths[sample.name], np.asarray(half, np.uint8))
                manifest[sample.name] = _fingerprint(sample)
        finally:  # an interrupted copy goes on where it stopped
            temporary = manifest_path.with_suffix('.part')
            temporary.write_text(json.dumps(manifest))
            temporary.replace(manifest_path)
    return paths


def half_resolution_folder(root: Path, fallback: Path) -> Path:
    """``root/half`` where the data set's folder can be written, else ``fallback``."""
    return root / 'half' if os.access(root, os.W_OK) else fallback


def _fingerprint(sample: Sample) -> list[int]:
    status = sample.image_path.stat()
    return [status.st_size, status.st_mtime_ns]
