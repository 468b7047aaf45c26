"""Functions that importers share: balls from labels, and names for files."""

import cv2
import numpy as np
import pytest

from minisegnet_core.data.importers.entry import balls_of_labels, safe_name


def test_each_blob_of_ball_labels_is_a_ball():
    labels = np.zeros((40, 60), np.uint8)
    cv2.circle(labels, (12, 20), 6, 1, -1)
    labels[30, 50:53] = 1  # too small to count
    (ball,) = balls_of_labels(labels, 1)
    assert (ball.x, ball.y, ball.visible) == (12, 20, 1)
    assert ball.radius == pytest.approx(6, abs=0.3)
    assert balls_of_labels(labels, None) is None
    assert balls_of_labels(np.zeros((4, 4), np.uint8), 1) == ()


def test_names_become_valid_file_names():
    assert safe_name('cam 0/ä b?.x') == 'cam_0_ä_b_.x'
    assert safe_name('///') == 'image'
