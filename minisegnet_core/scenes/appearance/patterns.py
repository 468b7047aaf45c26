"""What balls look like: patterns on a sphere."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance.ground import linear
from minisegnet_core.scenes.config.sections import BallSettings

Floats = NDArray[np.float32]
_GOLDEN = (1 + math.sqrt(5)) / 2


def _icosahedron() -> tuple[Floats, Floats]:
    """(12, 3) unit corners and (20, 3) unit face centres: a classic ball's pentagons and hexagons."""
    corners = np.array([p for a in (-1, 1) for b in (-_GOLDEN, _GOLDEN) for p in ((0, a, b), (a, b, 0), (b, 0, a))])
    corners /= np.linalg.norm(corners[0])
    edge = min(float(np.linalg.norm(corners[0] - c)) for c in corners[1:])
    faces = [
        corners[i] + corners[j] + corners[k]
        for i in range(12)
        for j in range(i)
        for k in range(j)
        if max(np.linalg.norm(corners[a] - corners[b]) for a, b in ((i, j), (j, k), (i, k))) < edge * 1.01
    ]
    centers = np.array(faces)
    return corners.astype(np.float32), (centers / np.linalg.norm(centers[0])).astype(np.float32)


_PENTAGONS, _HEXAGONS = _icosahedron()


def turned(matrix: Floats, vectors: Floats) -> Floats:
    """(m, n) products of an (m, 3) matrix with (3, n) vectors, without BLAS: its threads would compete with the other
    workers, and the bytes of an image must not depend on their number."""
    result: Floats = matrix[:, :1] * vectors[0]
    result += matrix[:, 1:2] * vectors[1]
    result += matrix[:, 2:] * vectors[2]
    return result


@dataclass(frozen=True)
class BallLook:
    """A ball's pattern and colours (linear RGB); ``waves`` (n, 4) directions and phases of printed patterns."""

    pattern: str
    base: Floats
    mark: Floats
    third: Floats
    size: float
    gloss: float
    waves: Floats

    def paint(self, n: Floats) -> Floats:
        """(m, 3) colours at (3, m) unit vectors in the ball's frame."""
        count = n.shape[1]
        color: Floats = np.repeat(self.base[None], count, axis=0)
        if self.pattern == 'plain':
            return color
        corners = turned(_PENTAGONS, n)
        near = corners.max(axis=0)
        if self.pattern == 'white':  # a mark or two, no more
            spots = self.waves[:2, :3] / np.linalg.norm(self.waves[:2, :3], axis=1)[:, None]
            color[turned(spots, n).max(axis=0) > 0.93] = self.mark
            color[np.abs(corners[0]) < 0.012] *= np.float32(0.7)
            return color
        if self.pattern in ('classic', 'paneled'):
            faces = np.partition(turned(_HEXAGONS, n), 18, axis=0)[-2:]
            pentagon = near * np.float32(self.size) > faces[1]
            seam = np.minimum(faces[1] - faces[0], np.abs(near * np.float32(self.size) - faces[1])) < 0.02
            color[seam] *= np.float32(0.6)
            if self.pattern == 'classic':
                color[pentagon] = self.mark
            else:
                color[pentagon & (corners.argmax(axis=0) % 2 == 0)] = self.mark
            return color
        field = np.zeros(count, np.float32)
        for wave in self.waves:
            field += np.sin(turned(wave[None, :3], n)[0] + wave[3])
        color[field > self.size] = self.mark
        color[field < -1.35 * self.size - 0.6] = self.third
        # Printed balls keep some order: their patches sit around the corners of an icosahedron.
        color[near < 0.80] = self.base
        return color


def sample_look(settings: BallSettings, rng: np.random.Generator) -> BallLook:
    """Draws a ball's look."""
    pattern = str(settings.patterns[int(rng.integers(len(settings.patterns)))])
    white = linear(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.1)), float(rng.uniform(0.75, 1.0)))
    dark = linear(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.6)), float(rng.uniform(0.02, 0.3)))
    hue = float(rng.choice([rng.uniform(0, 50), rng.uniform(45, 62), rng.uniform(190, 350)]))
    vivid = linear(hue, float(rng.uniform(0.6, 1)), float(rng.uniform(0.5, 1)))
    base, mark = white, dark
    if pattern in ('plain', 'paneled'):
        base = vivid
        mark = white if rng.random() < 0.5 else dark
    elif rng.random() < 0.2:
        mark = vivid
    return BallLook(
        pattern=pattern,
        base=base,
        mark=mark,
        third=vivid if rng.random() < 0.5 else dark,
        size=float(rng.uniform(0.98, 1.05)) if pattern != 'printed' else float(rng.uniform(0.3, 1.0)),
        gloss=float(rng.uniform(0, 0.4)),
        waves=np.hstack([rng.normal(0, 4.0, (5, 3)), rng.uniform(0, 6.3, (5, 1))]).astype(np.float32),
    )
