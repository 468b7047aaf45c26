"""Images for people: colours of the classes, overlays, contact sheets, videos."""

import cv2
import numpy as np

from minisegnet_core.ball import Ball
from minisegnet_core.classes import SOCCER
from minisegnet_core.video import VideoWriter
from minisegnet_core.visualization import colorize, contact_sheet, draw_overlay, enlarge_labels


def test_labels_take_the_colours_of_their_classes():
    colored = colorize(np.array([[0, 1, 2, 3, 255]], np.uint8), SOCCER)
    assert colored[0].tolist() == [[0, 0, 0], [255, 64, 0], [255, 255, 255], [0, 160, 0], [128, 128, 128]]


def test_enlarged_labels_are_cropped_at_the_border():
    enlarged = enlarge_labels(np.array([[1, 2], [3, 0]], np.uint8), 7, 5)
    assert enlarged.shape == (5, 7)
    assert enlarged[3].tolist() == [1, 1, 1, 1, 2, 2, 2]
    assert enlarged[4].tolist() == [3, 3, 3, 3, 0, 0, 0]


def test_an_overlay_keeps_background_and_blends_the_other_classes():
    image = np.full((9, 10, 3), 100, np.uint8)
    labels = np.zeros((3, 3), np.uint8)
    labels[0, 1] = 3
    overlay = draw_overlay(image, labels, SOCCER, opacity=0.5)
    assert overlay.shape == image.shape
    assert (overlay[:4, 4:8] == [50, 130, 50]).all()
    overlay[:4, 4:8] = 100
    assert (overlay == 100).all()
    assert (image == 100).all()  # the input is unchanged


def test_an_overlay_circles_the_ball():
    image = np.zeros((120, 160, 3), np.uint8)
    overlay = draw_overlay(image, np.zeros((30, 40), np.uint8), SOCCER, [Ball(80, 70, 10, 0.9)])
    ys, xs = np.nonzero((overlay == [255, 0, 255]).all(-1))
    assert abs((xs.min() + xs.max()) / 2 - 80) <= 1
    assert abs((ys.min() + ys.max()) / 2 - 70) <= 1


def test_a_contact_sheet_places_images_row_by_row():
    images = [np.full((20, 40, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = contact_sheet(images, columns=2, cell_width=40)
    assert sheet.shape == (4 + 2 * 24, 4 + 2 * 44, 3)
    assert [sheet[10, 10, 0], sheet[10, 60, 0], sheet[34, 10, 0], sheet[34, 60, 0]] == [10, 20, 30, 255]


def test_a_written_video_is_read_back(tmp_path):
    with VideoWriter(tmp_path / 'v.mp4', (81, 61), 10) as video:
        for index in range(5):
            video.write(np.full((61, 81, 3), (200, 40 * index, 0), np.uint8))
    reader = cv2.VideoCapture(str(tmp_path / 'v.mp4'))
    frames = []
    while (frame := reader.read())[0]:
        frames.append(frame[1])
    assert len(frames) == 5
    assert frames[0].shape == (60, 80, 3)
    assert abs(int(frames[4][30, 40, 1]) - 160) < 12  # green, through a lossy codec
    assert int(reader.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, 'little') in (b'VP90', b'vp09')
