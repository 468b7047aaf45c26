"""Conversion of label images painted in colours to class ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import IGNORE, SOCCER, ClassSet
from minisegnet_core.data.importers.entry import UNKNOWN
from minisegnet_core.errors import ConfigurationError, DatasetError
from minisegnet_core.files import read_text

Color = tuple[int, int, int]

NEAR = 40.0
"""Distance in RGB within which a colour counts as the mapped one, since JPEG and rounding change colours."""

BORDER = 2
"""Distance in pixels within which a blend may lie from the classes that it blends."""

MAX_UNKNOWN_COLORS = 5
"""Number of unknown colours that are counted one by one, the most frequent ones."""

IGNORE_NAME = 'ignore'
LABELMAP = 'labelmap.txt'


class ColorMap:
    """Colours of a label image, each of which means a class or ignore.

    A pixel takes the class of the nearest colour if that is near. Otherwise it counts as a blend at an anti-aliased
    border, and takes the nearest colour among those within two pixels of it. So a blend of green and red does not
    become a third class that happens to be brown. A pixel near no colour and no border is unknown: ignored, and
    counted.

    Near means within ``NEAR``, and within less than half the distance of the two closest colours, so that no colour is
    mistaken for another. Greys that are neighbours, as ids are, thus count exactly. Ids do not blend.

    Args:
        colors: RGB to class name, or to ``ignore``.
        classes: classes of the names.

    Raises:
        ConfigurationError: there are no colours, or a name is not a class.
    """

    def __init__(self, colors: Mapping[Color, str], classes: ClassSet = SOCCER) -> None:
        if not colors:
            raise ConfigurationError('the colour map is empty; give a colour for each class, such as ball=0,0,255')
        self.colors = dict(colors)
        ids = []
        for name in colors.values():
            label = IGNORE if name == IGNORE_NAME else classes.id_of(name)
            if label is None:
                raise ConfigurationError(
                    f'the colour map names {name!r}, which is neither a class ({", ".join(classes.names)}) nor '
                    'ignore; give a dataset.yaml with other classes by --classes'
                )
            ids.append(label)
        self._ids = np.array(ids, np.uint8)  # (K,)
        self._palette = np.array(list(colors), np.float32)  # (K, 3)
        apart = np.linalg.norm(self._palette[:, None] - self._palette, axis=2)  # (K, K)
        closest = float(apart[apart > 0].min(initial=np.inf))
        self._near = min(NEAR, 0.49 * closest)
        self._are_ids = closest < 2 and all(len(set(color)) == 1 for color in colors)

    def labels(self, mask: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Counter[str]]:
        """Return the ids of a painted label image, and the numbers of blended and unknown pixels.

        Args:
            mask: (H, W, 3) RGB or (H, W) grey, uint8.

        Returns:
            (H, W) uint8 ids, 255 = ignore; and counts of ``blended`` and ``unknown`` pixels, with the most frequent
            unknown colours as ``#rrggbb``.
        """
        rgb = mask if mask.ndim == 3 else np.repeat(mask[..., None], 3, axis=2)
        packed = rgb.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)  # (H, W)
        values, inverse = np.unique(packed, return_inverse=True)
        unpacked = np.stack([values >> 16, values >> 8 & 255, values & 255], -1).astype(np.float32)  # (N, 3)
        distances = np.linalg.norm(unpacked[:, None] - self._palette, axis=2)  # (N, K)
        nearest = distances.argmin(axis=1)
        certain = distances.min(axis=1) <= self._near
        index = inverse.reshape(packed.shape)
        painted = np.where(certain, nearest, -1)[index]  # (H, W) index of the colour, or -1
        labels = self._ids[painted.clip(0)]
        labels[painted < 0] = IGNORE
        counts: Counter[str] = Counter()
        if (painted < 0).any():
            rest = painted < 0 if self._are_ids else self._blend(labels, painted, distances, index)
            counts['blended'] = int((painted < 0).sum() - rest.sum())
            unknown, number = np.unique(packed[rest], return_counts=True)
            counts[UNKNOWN] = int(rest.sum())
            for place in number.argsort()[::-1][:MAX_UNKNOWN_COLORS]:
                counts[f'#{unknown[place]:06x}'] = int(number[place])
        return labels, counts

    def _blend(
        self,
        labels: NDArray[np.uint8],
        painted: NDArray[np.int64],
        distances: NDArray[np.float32],
        index: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Give uncertain pixels the nearest colour of their surroundings; return those without surroundings."""
        uncertain = painted < 0
        best = np.full(labels.shape, np.inf, np.float32)
        window = np.ones((2 * BORDER + 1, 2 * BORDER + 1), np.uint8)
        for color in range(len(self._palette)):
            around = cv2.dilate((painted == color).astype(np.uint8), window).astype(bool) & uncertain
            distance = np.where(around, distances[:, color][index], np.inf)
            closer = distance < best
            labels[closer] = self._ids[color]
            best[closer] = distance[closer]
        return uncertain & np.isinf(best)


def parse_colors(texts: Sequence[str]) -> dict[Color, str]:
    """Return the colours of texts such as ``ball=0,0,255``, ``line=255`` or ``field=#00ff00``.

    A class may have several colours.

    Raises:
        ConfigurationError: a text has none of these forms, or two classes have the same colour.
    """
    colors: dict[Color, str] = {}
    for text in texts:
        name, equals, value = text.partition('=')
        color = _color(value)
        if not equals or not name or color is None:
            raise ConfigurationError(
                f'colour {text!r} must be CLASS=R,G,B or CLASS=GREY or CLASS=#rrggbb, such as ball=0,0,255'
            )
        if colors.setdefault(color, name) != name:
            raise ConfigurationError(f'colour {value} means both {colors[color]} and {name}; give it to one class')
    return colors


def _color(text: str) -> Color | None:
    try:
        if text.startswith('#') and len(text) == 7:
            values = list(bytes.fromhex(text[1:]))
        else:
            values = [int(part) for part in text.split(',')]
            values = values * 3 if len(values) == 1 else values
    except ValueError:
        return None
    return (values[0], values[1], values[2]) if len(values) == 3 and all(0 <= v <= 255 for v in values) else None


def read_labelmap(path: Path) -> dict[Color, str]:
    """Return the colours of a label tool's ``labelmap.txt``, which has a line ``name:r,g,b:parts:actions`` per class.

    Raises:
        DatasetError: the file cannot be read, a line is wrong, or two classes have the same colour.
    """
    colors: dict[Color, str] = {}
    for number, line in enumerate(read_text(path, DatasetError, lenient=True).splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        name, color = [*line.split(':'), ''][:2]
        rgb = _color(color)
        if rgb is None:
            raise DatasetError(f'{path}, line {number}: {line!r} is not name:r,g,b:parts:actions')
        if colors.setdefault(rgb, name.strip()) != name.strip():
            raise DatasetError(f'{path}, line {number}: {color} means both {colors[rgb]} and {name.strip()}')
    return colors


def colors_beside(root: Path, classes: ClassSet) -> dict[Color, str]:
    """Return the colours of the ``labelmap.txt`` in a folder or its parent; without one, those of the classes.

    Raises:
        DatasetError: the file cannot be used.
        ConfigurationError: two classes have the same colour.
    """
    for folder in (root, root.parent):
        if (folder / LABELMAP).is_file():
            return read_labelmap(folder / LABELMAP)
    colors = {c.color: c.name for c in classes}
    if len(colors) < len(classes):
        raise ConfigurationError(
            'two classes have the same colour, so label images cannot distinguish them; use --colors'
        )
    return colors


def labelmap_text(classes: ClassSet) -> str:
    """Return a ``labelmap.txt`` of the classes and ``ignore`` in their colours, as :func:`read_labelmap` reads it."""
    grey = tuple(int(value) for value in classes.palette[IGNORE])
    rows = [*((c.name, c.color) for c in classes), (IGNORE_NAME, grey)]
    return '# label:color_rgb:parts:actions\n' + ''.join(f'{n}:{r},{g},{b}::\n' for n, (r, g, b) in rows)
