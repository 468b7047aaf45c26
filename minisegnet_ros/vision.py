"""What turns an image into a result: a model that is loaded and warm, and how the camera's image is shown to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import BACKGROUND
from minisegnet_core.encodings import Order, Pixels
from minisegnet_core.errors import ConfigurationError, ImageError
from minisegnet_core.inference.segmenter import Segmentation, Segmenter
from minisegnet_ros.parameters import size_of
from minisegnet_ros.scheduling import cpus_of
from minisegnet_ros.view import View

SegmenterFactory = Callable[..., Segmenter]


@dataclass(frozen=True)
class Vision:
    """A warm segmenter and the view in which it sees images."""

    segmenter: Segmenter
    view: View

    def run(self, pixels: Pixels) -> Segmentation:
        """Segments an image; labels and balls are of the received image, background where the network saw nothing.

        Raises:
            ImageError: the image is too small, or `roi` does not fit into it.
        """
        image = pixels.image
        result = self.segmenter.run(self.view.seen(image), order=pixels.order)
        outside = self.segmenter.classes.id_of(BACKGROUND) or 0
        return self.view.received(result, (image.shape[1], image.shape[0]), outside)


def load(factory: SegmenterFactory, settings: Mapping[str, Any]) -> Vision:
    """Loads and warms a model as the node's parameters want it.

    Args:
        factory: called as :class:`Segmenter` is.
        settings: parameter values by name.

    Raises:
        MinisegnetError: it cannot be loaded or run; the text says why.
    """
    segmenter = factory(
        settings['model'],
        engine=settings['engine'],
        precision=settings['precision'],
        device=settings['device'],
        network_size=settings['network_size'],
        # Who names CPUs has left out those for walking already.
        threads=settings['threads'] or len(cpus_of(settings['cpu_affinity'])),
        ball_threshold=settings['ball_threshold'],
        ball_confidence=settings['ball_confidence'],
    )
    vision = Vision(segmenter, View(settings['rotate'], settings['roi']))
    width, height = size_of(settings['expected_size'])
    black: NDArray[np.uint8] = np.zeros((height, width, 3), np.uint8)
    # An engine compiles for each size and channel order it meets, for up to a second: rather now than in the game.
    orders: tuple[Order, ...] = ('bgr',) if settings['image_transport'] == 'compressed' else ('rgb', 'bgr')
    try:
        for order in orders:
            vision.run(Pixels(black, order))
    except ImageError as error:
        raise ConfigurationError(f'{error}; expected_size must be the size of the images to come') from error
    return vision
