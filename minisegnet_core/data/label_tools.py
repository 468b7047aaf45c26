"""Export labels to label tools, for correction by hand: CVAT's "Segmentation mask 1.1", and COCO.

CVAT's format is a folder ``SegmentationClass/`` of label images in the classes' colours, with ``labelmap.txt`` and
``ImageSets/Segmentation/default.txt``. Other tools read it as colour masks. ``cvat_segmentation_mask.zip`` packs it for
the upload to CVAT. COCO is ``coco.json``, with one run-length mask per image and class.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import BACKGROUND, IGNORE, ClassSet
from minisegnet_core.data.importers.colors import IGNORE_NAME, LABELMAP, labelmap_text
from minisegnet_core.errors import DatasetError, OutputError
from minisegnet_core.files import replaced_atomically, write_text_atomically
from minisegnet_core.imaging import write_image

FOLDER = 'SegmentationClass'
NAMES = 'ImageSets/Segmentation/default.txt'
ARCHIVE = 'cvat_segmentation_mask.zip'
COCO = 'coco.json'


class LabelToolFiles:
    """Writes the files of both formats; :meth:`close` completes them.

    Args:
        folder: folder to write into; created if it does not exist.
        classes: classes of the label ids.

    Raises:
        DatasetError: the folder holds such files already.
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, classes: ClassSet) -> None:
        self.folder, self.classes = folder, classes
        if (folder / FOLDER).exists():
            raise DatasetError(f'{folder} already holds labels for label tools; choose another folder')
        try:
            (folder / FOLDER).mkdir(parents=True)
            (folder / 'ImageSets' / 'Segmentation').mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f'cannot write into {folder}: {error.strerror or error}') from error
        self._names: list[str] = []
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, name: str, image_name: str, labels: NDArray[np.uint8]) -> None:
        """Add the labels of one image.

        Args:
            name: name of the sample.
            image_name: file name of the image.
            labels: (H, W) uint8 ids.
        """
        write_image(self.folder / FOLDER / f'{name}.png', self.classes.palette[labels])
        height, width = labels.shape
        self._names.append(name)
        self._images.append({'id': len(self._names), 'file_name': image_name, 'width': width, 'height': height})
        for label in np.unique(labels).tolist():
            if label != self.classes.id_of(BACKGROUND):
                self._annotations.append(self._annotation(labels == label, label))

    def _annotation(self, mask: NDArray[np.bool_], label: int) -> dict[str, Any]:
        left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
        return {
            'id': len(self._annotations) + 1,
            'image_id': len(self._names),
            'category_id': label,
            'segmentation': {'size': list(mask.shape), 'counts': runs_of(mask)},
            'area': int(mask.sum()),
            'bbox': [left, top, width, height],
            'iscrowd': 1,  # COCO's flag of a run-length mask
        }

    def close(self) -> None:
        """Write the lists of images and classes, and pack the archive.

        Raises:
            OutputError: a file cannot be written.
        """
        names = ''.join(f'{name}\n' for name in self._names)
        write_text_atomically(self.folder / LABELMAP, labelmap_text(self.classes))
        write_text_atomically(self.folder / NAMES, names)
        categories = [{'id': i, 'name': c.name} for i, c in enumerate(self.classes)]
        coco = {
            'images': self._images,
            'annotations': self._annotations,
            'categories': [*categories, {'id': IGNORE, 'name': IGNORE_NAME}],
        }
        write_text_atomically(self.folder / COCO, json.dumps(coco))
        # Stored without compression: PNG files are compressed already.
        with replaced_atomically(self.folder / ARCHIVE) as temporary, zipfile.ZipFile(temporary, 'w') as archive:
            for path in (LABELMAP, NAMES):
                archive.write(self.folder / path, path)
            for name in self._names:
                archive.write(self.folder / FOLDER / f'{name}.png', f'{FOLDER}/{name}.png')

    def __enter__(self) -> LabelToolFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._names:
            self.close()
        else:
            shutil.rmtree(self.folder / FOLDER)
            shutil.rmtree(self.folder / 'ImageSets')


def runs_of(mask: NDArray[np.bool_]) -> list[int]:
    """Return COCO's plain run lengths of an (H, W) mask: down the columns, starting with a run of False, maybe of 0."""
    flat = mask.ravel(order='F')
    borders = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], borders, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else list(runs)
