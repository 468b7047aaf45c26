"""Sample images: rendered scenes have labels for models with their classes only."""

from dataclasses import replace

import numpy as np

from minisegnet_core.classes import SOCCER, ClassSet
from minisegnet_core.inference import sample_images
from support.exported import random_image


def test_rendered_scenes_have_labels_for_classes_of_their_names_in_any_colours(monkeypatch):
    scene = random_image(96, 64), np.full((64, 96), 3, np.uint8)
    monkeypatch.setattr(sample_images, 'rendered', lambda count, _: [scene] * count)
    recolored = ClassSet(tuple(replace(c, color=(index, 9, 9)) for index, c in enumerate(SOCCER)))
    assert [labels is scene[1] for _, labels in sample_images.labelled_images(None, 2, recolored)] == [True, True]
    others = ClassSet((SOCCER.classes[0], replace(SOCCER.classes[1], name='goal')))
    assert [labels for _, labels in sample_images.labelled_images(None, 2, others)] == [None, None]
