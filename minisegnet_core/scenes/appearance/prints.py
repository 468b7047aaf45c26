"""What is printed on shirts, covers and boards: small pictures made once per process, repeated or shown once."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance import noise

SIZE = 64
REPEATED = ('', 'stripes', 'bars', 'blotches', 'checks', 'holes', 'joints', 'clutter')
SINGLE = (*'0123456789', 'word')
NAMES = REPEATED + SINGLE
"""Names of all prints; the first, '', is none. Those of SINGLE stand once, in the middle of their solid."""


@lru_cache(maxsize=1)
def atlas() -> NDArray[np.float32]:
    """(prints, SIZE, SIZE) float32: share of the second colour, row 0 at the bottom."""
    return np.stack([_write(name) if name in SINGLE else _draw(name) for name in NAMES])


def sample(kinds: NDArray[np.intp], u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) share of the second colour of prints ``kinds`` at (n,) positions in units of their size."""
    single = kinds >= len(REPEATED)
    # Numbers stand upright in the middle; repeated prints have no beginning.
    column, row = (
        np.where(single, np.clip(value + np.float32(0.5), 0, 0.999), value - np.floor(value)) for value in (u, v)
    )
    index = kinds * (SIZE * SIZE)
    index += (row * SIZE).astype(np.intp) * SIZE
    index += (column * SIZE).astype(np.intp)
    return atlas().ravel()[index]


def _draw(name: str) -> NDArray[np.float32]:
    picture = np.zeros((SIZE, SIZE), np.float32)
    if name == 'stripes':
        picture[: SIZE // 2] = 1
    elif name == 'bars':
        picture[:, : SIZE // 2] = 1
    elif name == 'blotches':
        picture = (cv2.resize(noise.tile(12, 0.9)[:128, :128], (SIZE, SIZE)) > 0.4).astype(np.float32)
    elif name == 'checks':
        picture[: SIZE // 2, : SIZE // 2] = picture[SIZE // 2 :, SIZE // 2 :] = 1
    elif name == 'holes':
        for x in (16, 48):
            for y in (16, 48):
                cv2.circle(picture, (x, y), 9, 1.0, -1, cv2.LINE_AA)
    elif name == 'joints':  # gaps between plates, screws, a cable
        picture[:4] = picture[30:32] = picture[:, 22:25] = 1
        for x, y in ((8, 12), (40, 12), (8, 52), (56, 40)):
            cv2.circle(picture, (x, y), 3, 1.0, -1, cv2.LINE_AA)
        cv2.line(picture, (30, 34), (62, 60), 1.0, 3, cv2.LINE_AA)
    elif name == 'clutter':
        rng = np.random.default_rng([980, 1])
        for _ in range(14):
            x, y = (int(v) for v in rng.integers(0, SIZE, 2))
            width, height = (int(v) for v in rng.integers(2, 22, 2))
            picture[y : y + height, x : x + width] = rng.uniform(0, 1)
    return picture


def _write(name: str) -> NDArray[np.float32]:
    """A number or words, with an empty rim, since what lies beyond the picture looks like its rim."""
    written = np.zeros((SIZE, SIZE), np.uint8)  # OpenCV 5 writes into bytes only
    if name == 'word':
        cv2.putText(written, 'TEAM', (4, 30), cv2.FONT_HERSHEY_DUPLEX, 0.7, 1, 2, cv2.LINE_8)
        cv2.putText(written, 'ROBOT', (6, 50), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1, 1, cv2.LINE_8)
    else:
        cv2.putText(written, name, (12, 54), cv2.FONT_HERSHEY_DUPLEX, 2.0, 1, 6, cv2.LINE_8)
    picture = written.astype(np.float32)
    picture[[0, -1]] = 0
    picture[:, [0, -1]] = 0
    return np.ascontiguousarray(picture[::-1])
