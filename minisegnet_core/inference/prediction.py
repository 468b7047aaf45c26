"""Segment all frames of a source and write the results: label images, ``predictions.jsonl`` and an overlay video."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ImageError
from minisegnet_core.frames import Frame, FrameSource
from minisegnet_core.imaging import write_image
from minisegnet_core.inference.segmenter import ImageSegmenter, Segmentation
from minisegnet_core.parallel import BackgroundWriter, prefetch
from minisegnet_core.video import VideoWriter
from minisegnet_core.visualization import draw_overlay, enlarge_labels

OVERLAY_FPS = 10.0
"""Frames per second of the overlay video."""


@dataclass(frozen=True)
class PredictionSummary:
    """Result of :func:`predict_frames`.

    Attributes:
        frames: number of frames written; 0 if the source has none.
        missing: number of frames that the source announced but did not deliver.
        fps: frames per second, without the first frame, during which the engine compiles. None for fewer than two
            frames.
        engine_fraction: fraction of that time in which the engine was running, 0..1. None for fewer than
            two frames.
    """

    frames: int
    missing: int
    fps: float | None = None
    engine_fraction: float | None = None


def predict_frames(
    frames: FrameSource,
    segmenter: ImageSegmenter,
    output: Path,
    *,
    full_size: bool = False,
    overlay: bool = False,
    progress: Callable[[Iterable[Frame]], Iterable[Frame]] = iter,
) -> PredictionSummary:
    """Segment all frames of a source and write the results into a folder.

    Reading, segmenting and writing overlap. After an error or Ctrl-C, the results of all earlier frames are complete.

    Args:
        frames: source of images, see :func:`~minisegnet_core.frames.open_frames`.
        segmenter: the model.
        output: folder for ``labels/<name>.png``, ``predictions.jsonl`` and ``overlay.mp4``; created if necessary.
        full_size: write label images at the size of the images and not on the label grid.
        overlay: write ``overlay.mp4``, which shows labels and the best ball on the images.
        progress: wraps the frames to display the progress.

    Raises:
        SourceError: the source is damaged.
        ImageError: a frame is damaged or too small; the text names it.
    """
    (output / 'labels').mkdir(parents=True, exist_ok=True)
    engine_ms, count, started, ended = 0.0, 0, 0.0, 0.0
    with PredictionWriter(output, segmenter.classes, full_size=full_size, overlay=overlay) as writer:
        with BackgroundWriter(writer.write) as background, contextlib.closing(prefetch(frames)) as prefetched:
            for frame in progress(prefetched):
                try:
                    result = segmenter.run(frame.image)
                except ImageError as error:
                    raise ImageError(f'frame {frame.name}: {error}') from error
                if count:
                    engine_ms += result.engine_ms
                else:
                    started = time.perf_counter()
                background.put((frame, result))
                count += 1
        ended = time.perf_counter()
    if count < 2 or ended <= started:
        return PredictionSummary(count, frames.missing)
    seconds = ended - started
    return PredictionSummary(count, frames.missing, (count - 1) / seconds, engine_ms / 1e3 / seconds)


class PredictionWriter:
    """Write the results of frames into a folder; leaving the context completes the files.

    Args:
        output: folder with a subfolder ``labels``.
        classes: classes of the model, whose colours the overlay shows.
        full_size: write label images at the size of the images and not on the label grid.
        overlay: write ``overlay.mp4``.
    """

    def __init__(self, output: Path, classes: ClassSet, *, full_size: bool = False, overlay: bool = False) -> None:
        self._output, self._classes, self._full_size, self._overlay = output, classes, full_size, overlay
        self._lines = (output / 'predictions.jsonl').open('w', encoding='utf-8')
        self._video: VideoWriter | None = None

    def write(self, entry: tuple[Frame, Segmentation]) -> None:
        """Write the results of one frame.

        Raises:
            OSError, ImageError, OutputError: a file cannot be written.
        """
        frame, result = entry
        width, height = result.image_size
        labels = enlarge_labels(result.label_image, width, height) if self._full_size else result.label_image
        write_image(self._output / 'labels' / f'{frame.name}.png', np.ascontiguousarray(labels))
        self._lines.write(json.dumps(prediction_record(frame, result, self._classes)) + '\n')
        if self._overlay:
            drawn = draw_overlay(frame.image, result.label_image, self._classes, result.balls[:1])
            self._video = self._video or VideoWriter(self._output / 'overlay.mp4', (width, height), OVERLAY_FPS)
            self._video.write(drawn)

    def __enter__(self) -> PredictionWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        if self._video is not None:
            self._video.close()


def prediction_record(frame: Frame, result: Segmentation, classes: ClassSet) -> dict[str, Any]:
    """Return the object that ``predictions.jsonl`` holds for a frame.

    Positions and radii are in pixels of the received image, ``stamp`` is in nanoseconds or null, ``latency_ms`` is the
    time in the engine in milliseconds. Without a class ``ball`` there are no keys ``ball`` and ``balls``.
    """
    balls = [{key: round(value, 3) for key, value in asdict(ball).items()} for ball in result.balls]
    return {
        'name': frame.name,
        'stamp': frame.stamp,
        'width': result.image_size[0],
        'height': result.image_size[1],
        **({'ball': balls[0] if balls else None, 'balls': balls} if classes.has_ball else {}),
        'latency_ms': round(result.engine_ms, 3),
    }
