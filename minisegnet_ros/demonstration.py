"""The demo: play a bag, or a rendered scene, to the real node; write a report, an overlay video and a contact sheet."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ImageError, SourceError
from minisegnet_core.files import replaced_atomically, write_text_atomically
from minisegnet_core.frames import is_bag
from minisegnet_core.frames.bag import BagImages
from minisegnet_core.imaging import write_image
from minisegnet_core.inference.pace import fitting_network_size
from minisegnet_core.inference.segmenter import SegmenterConfig
from minisegnet_core.inference.selection import classes_of_model
from minisegnet_core.scenes import SceneConfig
from minisegnet_core.scenes.bags import IMAGE, write_bag
from minisegnet_core.scenes.series import Series
from minisegnet_core.video import VideoWriter
from minisegnet_core.visualization import contact_sheet, draw_overlay
from minisegnet_ros.node_process import NodeError
from minisegnet_ros.replay import ASSUMED_PERIOD, Played, Recording, pause, replay, started_node

SCENE_FRAMES, SCENE_FPS, SCENE_SEED = 60, 5.0, 4
"""Number of images, images per second and seed of the rendered scene, which lasts twelve seconds."""

VIDEO_SIDE = 480
"""Maximum length of the video's longer side in pixels: VP9 needs 1 s of CPU time for a frame of 608x800, and a third
of that at this size.
"""

SHEET_CELLS, SHEET_COLUMNS, SHEET_CELL_WIDTH = 12, 4, 320

PACE_IMAGES = 20
"""Images of the bag from which its rate is estimated."""

OUTPUTS = ('report.json', 'overlay.mp4', 'sheet.png')
"""Files that the demo writes."""

Counter = Callable[[str, str, 'int | None'], AbstractContextManager[Callable[[int], object]]]
"""Displays progress: called with a description, the name of an item and the total number of items; gives a function
that is called with each number of items that are done.
"""

MODEL_PARAMETERS = ('model', 'engine', 'network_size', 'threads')
"""Settings of the segmenter that are passed to the node as parameters."""


@dataclass(frozen=True)
class DemoOptions:
    """What to play, and how.

    Attributes:
        output: folder to write.
        bag: ROS bag, or None to render a scene.
        topic: image topic of the bag, or None for the only one.
        rate: playback speed: 1 as recorded, 2 twice as fast.
        model: model settings of the node.
        choose_network_size: run the network at the native size if this machine keeps up with the bag, else at half
            size, instead of the size in ``model``.
    """

    output: Path
    bag: Path | None = None
    topic: str | None = None
    rate: float = 1.0
    model: SegmenterConfig = field(default_factory=SegmenterConfig)
    choose_network_size: bool = True


def no_counter(description: str, unit: str, total: int | None) -> AbstractContextManager[Callable[[int], object]]:
    """Display no progress."""
    return nullcontext(lambda count: None)


def run_demo(
    options: DemoOptions, *, counter: Counter = no_counter, log: Callable[[str], object] = lambda text: None
) -> dict[str, Any]:
    """Play, record and draw; write the files of OUTPUTS; return the report.

    Args:
        options: what to play.
        counter: displays the progress.
        log: called with a line that describes the replay.

    Raises:
        SourceError: the bag does not exist or cannot be played.
        NodeError: the node did not start, or answered no image.
        ImageError: no image can be decoded, or the video cannot be written.
        ModelError, ConfigurationError: the model cannot be loaded.
    """
    options.output.mkdir(parents=True, exist_ok=True)
    bag = open_bag(options.bag, options.topic, options.output, counter)
    first = first_image(bag)
    model = options.model
    if Path(model.model).is_file():
        model = replace(model, model=str(Path(model.model).resolve()))
    classes = classes_of_model(model.model)
    if options.choose_network_size:
        model = replace(model, network_size=network_size_that_keeps_up(bag, first, options.rate, model))
    log(f'playing {len(bag)} images of {bag.path}, topic {bag.topic}; network size {model.network_size}')
    parameters = {
        **{name: getattr(model, name) for name in MODEL_PARAMETERS},
        'expected_size': '' if first is None else f'{first.shape[1]}x{first.shape[0]}',
        'image_transport': 'compressed' if bag.compressed else 'raw',
        'reliability': 'reliable',
        'diagnostics_period': 0.5,
    }
    with started_node(parameters) as node, counter('demo', 'image', len(bag)) as advance:
        recording = replay(bag, node, rate=options.rate, progress=advance)
    report = make_report(recording, bag, classes) | {'network_size': model.network_size}
    report_path = options.output / 'report.json'
    write_text_atomically(report_path, json.dumps(report, indent=2) + '\n')
    if not recording.answered:
        raise NodeError(f'the node answered none of {len(recording.frames)} images; see {report_path}')
    draw(recording, bag, classes, options.output, counter)
    return report


# Source


def open_bag(path: Path | None, topic: str | None, output: Path, counter: Counter = no_counter) -> BagImages:
    """Open the bag to play; without a path, render a scene into ``output/bag``.

    Raises:
        SourceError: the path is not a bag, or the bag cannot be played.
    """
    if path is None:
        return BagImages(render_bag(output / 'bag', counter), IMAGE)
    if not path.exists() or not is_bag(path):
        raise SourceError(f'there is no ROS bag {path}; give a .bag, .db3 or .mcap file, or the folder of a bag')
    return BagImages(path, topic)


def render_bag(folder: Path, counter: Counter = no_counter) -> Path:
    """Render a short walk over a field as a bag, always the same one, and return its folder; replace an older bag."""
    series = Series(SceneConfig.from_preset('humanoid'), SCENE_SEED, SCENE_FRAMES, sequence=True, fps=SCENE_FPS)
    for old in (folder, folder.with_name(folder.name + '.parts')):
        shutil.rmtree(old, ignore_errors=True)

    def progress(results: Iterable[Any], total: int, done: int) -> Iterator[Any]:
        with counter('render', 'image', total) as advance:
            advance(done)
            for result in results:
                yield result
                advance(1)

    write_bag(series, folder, storage='mcap', compressed=False, workers=os.cpu_count() or 1, progress=progress)
    return folder


def first_image(bag: BagImages) -> NDArray[np.uint8] | None:
    """Return the bag's first image as (H, W, 3) uint8 RGB; None if it is damaged."""
    try:
        return next(bag.messages()).decode().rgb().copy()  # a bag's bytes are read-only, which engines reject
    except ImageError:
        return None


def network_size_that_keeps_up(
    bag: BagImages, image: NDArray[np.uint8] | None, rate: float, model: SegmenterConfig
) -> str:
    """Return the network size at which this machine keeps up with a bag: ``native``, else ``half``.

    Args:
        bag: images to play.
        image: its first image, (H, W, 3) uint8 RGB.
        rate: playback speed.
        model: model settings; their network size is not used.
    """
    if image is None:
        return 'native'
    first = itertools.islice(bag.messages(), PACE_IMAGES)
    pauses = [pause(*pair) for pair in itertools.pairwise(first)] or [ASSUMED_PERIOD]
    try:
        period = float(np.median(pauses)) / rate
        return fitting_network_size(
            image, period, model=model.model, engine=model.engine, threads=model.threads
        ).network_size
    except ImageError:  # the image is too small for half the size
        return 'native'


# Results


def make_report(recording: Recording, bag: BagImages, classes: ClassSet) -> dict[str, Any]:
    """Return the content of report.json; latencies in ms, from publication of an image to arrival of its labels.

    ``balls_seen`` is there only if the model has a class ``ball``.
    """
    seen = sum(frame.ball is not None for frame in recording.frames)
    latencies = [frame.latency * 1e3 for frame in recording.answered if frame.latency is not None]
    p50, p95 = (round(float(v), 2) for v in np.percentile(latencies, [50, 95])) if latencies else (None, None)
    return {
        'frames_in': len(recording.frames),
        'frames_out': len(recording.answered),
        'dropped': len(recording.frames) - len(recording.answered),
        'latency_ms_p50': p50,
        'latency_ms_p95': p95,
        **({'balls_seen': seen} if classes.has_ball else {}),
        'engine': recording.facts.get('engine', ''),
        'model': recording.facts.get('model', ''),
        'model_hash': recording.facts.get('model hash', ''),
        'source': str(bag.path),
        'topic': bag.topic,
        'duration_s': round(recording.duration, 2),
    }


def draw(recording: Recording, bag: BagImages, classes: ClassSet, output: Path, counter: Counter = no_counter) -> None:
    """Write overlay.mp4 and sheet.png from the bag's images and the node's answers, in the colours of the classes.

    Raises:
        ImageError: no image can be decoded, or the video cannot be written or read back.
    """
    frames = recording.frames
    chosen = {round(i) for i in np.linspace(0, len(frames) - 1, min(SHEET_CELLS, len(frames)))}
    cells: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    with (
        replaced_atomically(output / 'overlay.mp4') as path,
        counter('draw', 'image', len(frames)) as advance,
    ):
        video: VideoWriter | None = None
        written = 0
        for frame, image in _decoded(recording, bag):
            advance(1)
            overlay = draw_answer(image, frame, classes)
            video = video or VideoWriter(path, video_size(overlay), played_fps(frames))
            video.write(overlay)
            written += 1
            if frame.index in chosen:
                cells.append(overlay)
                answer = ': ball' if frame.ball else ': no ball' if classes.has_ball else ''
                answer = ': dropped' if frame.labels is None else answer
                captions.append(f'{frame.sent - frames[0].sent:.1f} s{answer}')
        if video is None:
            raise ImageError(f'no image of {bag.path} can be decoded')
        video.close()
        check_video(path, written)
    write_image(output / 'sheet.png', contact_sheet(cells, SHEET_COLUMNS, SHEET_CELL_WIDTH, captions))


def _decoded(recording: Recording, bag: BagImages) -> Iterator[tuple[Played, NDArray[np.uint8]]]:
    """Yield each played image that can be decoded, as RGB; the node could not answer the others either."""
    for frame, message in zip(recording.frames, bag.messages(), strict=True):
        try:
            image = message.decode().rgb()
        except ImageError:
            continue
        yield frame, image


def played_fps(frames: list[Played]) -> float:
    """Return the average number of images per second that were played, limited to 1 to 60."""
    span = frames[-1].sent - frames[0].sent
    return min(max((len(frames) - 1) / span if span > 0 else 1.0, 1.0), 60.0)


def video_size(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the (width, height) in pixels of a video that shows such images."""
    height, width = image.shape[:2]
    scale = min(1.0, VIDEO_SIDE / max(width, height))
    return max(2, round(width * scale)), max(2, round(height * scale))


def draw_answer(image: NDArray[np.uint8], frame: Played, classes: ClassSet) -> NDArray[np.uint8]:
    """Return the image with the node's answer drawn over it, or with the word "dropped"."""
    if frame.labels is None:
        dropped = image.copy()
        cv2.putText(dropped, 'dropped', (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 0, 0), 2, cv2.LINE_AA)
        return dropped
    overlay = draw_overlay(image, frame.labels, classes)
    if frame.ball is not None:
        x, y, radius = frame.ball
        center = round(x * 16), round(y * 16)  # OpenCV's `shift`: sixteenths of a pixel
        cv2.circle(overlay, center, round(max(radius, 3.0) * 16) + 32, (255, 0, 255), 2, cv2.LINE_AA, shift=4)
    return overlay


def check_video(path: Path, frames: int) -> None:
    """Read a video back.

    Raises:
        ImageError: the video does not hold the given number of frames.
    """
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    if count != frames:
        raise ImageError(f'{path} holds {count} instead of {frames} frames: this OpenCV cannot write VP9')
