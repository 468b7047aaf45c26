"""Surfaces: prints repeat or appear once."""

from __future__ import annotations

import numpy as np

from minisegnet_core.scenes.appearance.surfaces import PRINT_SIZE, PRINTS, print_atlas, sample_prints


def test_prints_repeat_or_appear_once():
    atlas = print_atlas()
    assert atlas.shape == (len(PRINTS), PRINT_SIZE, PRINT_SIZE)
    assert atlas.min() >= 0 and atlas.max() <= 1 and not atlas[0].any()
    assert len({pixels.tobytes() for pixels in atlas}) == len(PRINTS)
    u, v = (np.array(values, np.float32) for values in ([0.2, 1.2, -0.8], [0.3, 5.3, -0.7]))
    stripes = sample_prints(np.full(3, PRINTS.index('stripes')), u, v)
    assert stripes.tolist() == [1, 1, 1]
    beyond = sample_prints(np.full(2, PRINTS.index('8')), np.array([0.6, 0.0], np.float32), np.zeros(2, np.float32))
    assert beyond[0] == 0  # outside the digit
    digit = atlas[PRINTS.index('7')]
    assert digit[PRINT_SIZE // 2 :].sum() > digit[: PRINT_SIZE // 2].sum()  # a 7 has its bar at the top
