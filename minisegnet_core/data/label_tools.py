"""Labels as label tools read them, to be corrected by hand: CVAT's "Segmentation mask 1.1", and COCO.

The first is a folder ``SegmentationClass/`` of label images in the classes' colours with ``labelmap.txt`` and
``ImageSets/Segmentation/default.txt``, packed as ``cvat_segmentation_mask.zip``, which CVAT uploads as annotations, and
which other tools read as colour masks. The second is ``coco.json`` with a run-length mask for each class of an image.
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
from minisegnet_core.data.importers.colors import IGNORE_NAME, labelmap_text
from minisegnet_core.errors import DatasetError
from minisegnet_core.files import write_atomically
from minisegnet_core.imaging import write_image

FOLDER = 'SegmentationClass'
ARCHIVE = 'cvat_segmentation_mask.zip'
COCO = 'coco.json'


class LabelToolFiles:
    """Writes the files; those of images added are whole once :meth:`close` is reached.

    Raises:
        DatasetError: the folder holds such files already, or cannot be written.
    """

    def __init__(self, folder: Path, classes: ClassSet) -> None:
        self.folder, self.classes = folder, classes
        if (folder / FOLDER).exists():
            raise DatasetError(f'{folder} holds labels for label tools already; choose another folder')
        try:
            (folder / FOLDER).mkdir(parents=True)
            (folder / 'ImageSets' / 'Segmentation').mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f'{folder} cannot be written: {error.strerror}') from error
        self._names: list[str] = []
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, name: str, image_name: str, labels: NDArray[np.uint8]) -> None:
        """Adds the labels (H, W) uint8 of an image, whose file is called ``image_name``."""
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
            'iscrowd': 1,  # by COCO's rule: a run-length mask
        }

    def close(self) -> None:
        """Writes the lists, and packs the archive."""
        names = ''.join(f'{name}\n' for name in self._names)
        write_atomically(self.folder / 'labelmap.txt', labelmap_text(self.classes).encode())
        write_atomically(self.folder / 'ImageSets' / 'Segmentation' / 'default.txt', names.encode())
        categories = [{'id': i, 'name': c.name} for i, c in enumerate(self.classes)]
        coco = {
            'images': self._images,
            'annotations': self._annotations,
            'categories': [*categories, {'id': IGNORE, 'name': IGNORE_NAME}],
        }
        write_atomically(self.folder / COCO, json.dumps(coco).encode())
        temporary = self.folder / f'{ARCHIVE}.part'
        try:
            with zipfile.ZipFile(temporary, 'w') as archive:  # PNG is packed already
                for path in ('labelmap.txt', 'ImageSets/Segmentation/default.txt'):
                    archive.write(self.folder / path, path)
                for name in self._names:
                    archive.write(self.folder / FOLDER / f'{name}.png', f'{FOLDER}/{name}.png')
            temporary.replace(self.folder / ARCHIVE)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise DatasetError(f'{self.folder / ARCHIVE} could not be written: {error.strerror}') from error

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
    """Run lengths of a mask (H, W) down its columns, beginning with a run outside, which may be 0: COCO's plain RLE."""
    flat = mask.ravel(order='F')
    borders = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], borders, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else list(runs)
