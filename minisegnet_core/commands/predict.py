"""Run a model on a folder of images, a video or a bag: label images, balls, and an overlay video to look at.

    minisegnet predict match.mcap --topic /camera/image_raw --output predicted

Writes OUTPUT/labels/<name>.png (class ids on the label grid), OUTPUT/predictions.jsonl (one object a frame), and with
--overlay OUTPUT/overlay.mp4.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from tqdm import tqdm

from minisegnet_core.classes import ClassSet
from minisegnet_core.cli import command
from minisegnet_core.commands.model_options import add_model_arguments, segmenter_of
from minisegnet_core.errors import ImageError, SourceError
from minisegnet_core.frames import Frame, open_frames
from minisegnet_core.imaging import write_image
from minisegnet_core.inference.segmenter import Segmentation
from minisegnet_core.parallel import BackgroundWriter, prefetch
from minisegnet_core.video import VideoWriter
from minisegnet_core.visualization import draw_overlay, enlarge_labels

VIDEO_RATE = 10.0
"""Frames per second of the overlay video."""


@command
def main(argv: Sequence[str], prog: str) -> int:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'source', type=str, help='folder of images, image, video file, or ROS bag (ROS 1, sqlite3, mcap)'
    )
    parser.add_argument('--topic', type=str, default=None, help='image topic of a bag (default: the only one)')
    parser.add_argument('--output', type=str, required=True, help='folder to write into')
    parser.add_argument(
        '--full-size', action='store_true', help='write labels at the image size, not on the label grid'
    )
    parser.add_argument('--overlay', action='store_true', help='write overlay.mp4 too')
    add_model_arguments(parser)
    arguments = parser.parse_args(list(argv))
    frames = open_frames(arguments.source, arguments.topic)
    segmenter = segmenter_of(arguments)
    for note in segmenter.notes:
        print(f'note: {note}', file=sys.stderr)
    output = Path(arguments.output)
    (output / 'labels').mkdir(parents=True, exist_ok=True)
    busy_ms, count, began, ended = 0.0, 0, 0.0, 0.0
    # After Ctrl-C or a damaged frame, what was done is written to its end and stays usable.
    with Writer(output, segmenter.classes, arguments.full_size, arguments.overlay) as writer:
        with BackgroundWriter(writer.write) as behind, contextlib.closing(prefetch(frames)) as ahead:
            for frame in tqdm(ahead, total=len(frames), desc='predict', unit='frame'):
                try:
                    result = segmenter.run(frame.image)
                except ImageError as error:
                    raise ImageError(f'frame {frame.name}: {error}') from error
                if count:  # the first image is when the engine compiles
                    busy_ms += result.engine_ms
                else:
                    began = time.perf_counter()
                behind.put((frame, result))
                count += 1
        ended = time.perf_counter()
    if not count:
        raise SourceError(f'{arguments.source} gave no frame')
    print(
        f'{count} frames by {segmenter.engine} {segmenter.precision} on {segmenter.device}, model '
        f'{segmenter.model_hash}: {output}'
    )
    if frames.missing:
        print(f'{arguments.source} breaks off: {frames.missing} frames that it claims are missing', file=sys.stderr)
    if count > 1 and ended > began:
        rate, share = (count - 1) / (ended - began), busy_ms / 1e3 / (ended - began)
        print(f'{rate:.1f} frames/s; the network worked {share:.0%} of the time')
    return 0


class Writer:
    """Writes label images, predictions.jsonl and the overlay video into a folder; a context that finishes them."""

    def __init__(self, output: Path, classes: ClassSet, full_size: bool, overlay: bool) -> None:
        self._output, self._classes, self._full_size, self._overlay = output, classes, full_size, overlay
        self._lines = (output / 'predictions.jsonl').open('w')
        self._video: VideoWriter | None = None

    def write(self, done: tuple[Frame, Segmentation]) -> None:
        """Writes one frame's results."""
        frame, result = done
        width, height = result.image_size
        labels = enlarge_labels(result.label_image, width, height) if self._full_size else result.label_image
        write_image(self._output / 'labels' / f'{frame.name}.png', np.ascontiguousarray(labels))
        self._lines.write(json.dumps(prediction_record(frame, result)) + '\n')
        if self._overlay:
            picture = draw_overlay(frame.image, result.label_image, self._classes, result.balls[:1])
            self._video = self._video or VideoWriter(self._output / 'overlay.mp4', (width, height), VIDEO_RATE)
            self._video.write(picture)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        if self._video is not None:
            self._video.close()


def prediction_record(frame: Frame, result: Segmentation) -> dict[str, Any]:
    """One line of predictions.jsonl; pixels of the received image, milliseconds."""
    balls = [{key: round(value, 3) for key, value in asdict(ball).items()} for ball in result.balls]
    return {
        'name': frame.name,
        'stamp': frame.stamp,
        'width': result.image_size[0],
        'height': result.image_size[1],
        'ball': balls[0] if balls else None,
        'balls': balls,
        'latency_ms': round(result.engine_ms, 3),
    }
