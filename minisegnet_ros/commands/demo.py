"""Plays a bag, or a rendered scene, to the real node over DDS: report, overlay video, contact sheet.

minisegnet demo --bag match.mcap --topic /camera/image_raw --output demo
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from minisegnet_core.classes import ClassSet
from minisegnet_core.cli import command
from minisegnet_core.errors import ImageError, SourceError
from minisegnet_core.frames import is_bag
from minisegnet_core.frames.bag import BagImages
from minisegnet_core.inference.pace import fitting_network_size
from minisegnet_core.inference.selection import classes_of_model
from minisegnet_core.scenes import SceneConfig
from minisegnet_core.scenes.bags import IMAGE, write_bag
from minisegnet_core.scenes.series import Series
from minisegnet_core.video import VideoWriter
from minisegnet_core.visualization import contact_sheet, draw_overlay
from minisegnet_ros.node_process import NodeError
from minisegnet_ros.replay import ASSUMED_PERIOD, Played, Recording, pause, replay, started_node

SCENE_FRAMES, SCENE_RATE, SCENE_SEED = 60, 5.0, 4
"""Length (images), rate (Hz) and seed of the rendered scene: twelve seconds."""

VIDEO_SIDE = 480
"""Pixels of the video's longer side at most: VP9 takes a second of CPU for a frame of 608x800, a third for this."""

SHEET_CELLS, SHEET_COLUMNS, SHEET_CELL_WIDTH = 12, 4, 320

PACE_IMAGES = 20
"""Images of the bag from which its rate is taken."""


@command
def main(argv: Sequence[str], prog: str) -> int:
    """Plays a bag or a rendered scene to the real node over DDS: report, overlay video, contact sheet."""
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--bag', default='', help='ROS bag: .bag, .db3, .mcap or folder (default: render a scene)')
    parser.add_argument('--topic', help='image topic of the bag (default: the only one)')
    parser.add_argument('--output', default='demo', help='folder to write into (default: demo)')
    parser.add_argument('--rate', type=float, default=1.0, help='speed of the replay (default: 1, as recorded)')
    parser.add_argument('--model', default='', help="the node's model (default: what runs best here)")
    parser.add_argument('--engine', default='auto', help="the node's engine (default: auto)")
    parser.add_argument(
        '--network-size', default='auto', help='native, half, WIDTHxHEIGHT, or auto: what keeps up here (default: auto)'
    )
    parser.add_argument('--threads', type=int, default=0, help='CPU threads (default: 0, all cores but one)')
    arguments = parser.parse_args(list(argv))
    if not arguments.rate > 0:
        parser.error(f'--rate must be above 0, not {arguments.rate:g}')
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    bag = open_bag(arguments.bag, arguments.topic, output)
    first = first_image(bag)
    model = str(Path(arguments.model).resolve()) if Path(arguments.model).is_file() else arguments.model
    classes = classes_of_model(model)
    network_size = arguments.network_size
    if network_size == 'auto':
        network_size = size_that_keeps_up(bag, first, arguments.rate, model, arguments.engine, arguments.threads)
    print(f'playing {len(bag)} images of {bag.path}, topic {bag.topic}; network size {network_size}')
    parameters = {
        'model': model,
        'engine': arguments.engine,
        'network_size': network_size,
        'expected_size': '' if first is None else f'{first.shape[1]}x{first.shape[0]}',
        'threads': arguments.threads,
        'image_transport': 'compressed' if bag.compressed else 'raw',
        'reliability': 'reliable',
        'diagnostics_period': 0.5,
    }
    with started_node(parameters) as node, tqdm(total=len(bag), desc='demo', unit='image') as bar:
        recording = replay(bag, node, rate=arguments.rate, progress=bar.update)
    report = report_of(recording, bag) | {'network_size': network_size}
    (output / 'report.json').write_text(json.dumps(report, indent=2) + '\n')
    if not recording.answered:
        raise NodeError(f'the node answered none of {len(recording.frames)} images; see {output / "report.json"}')
    draw(recording, bag, classes, output)
    print(
        f'{report["frames_out"]} of {report["frames_in"]} images answered, {report["latency_ms_p50"]} ms (p50), '
        f'{report["latency_ms_p95"]} ms (p95), ball seen in {report["balls_seen"]}, engine {report["engine"]}'
    )
    for name in ('report.json', 'overlay.mp4', 'sheet.png'):
        print(output / name)
    return 0


def open_bag(path: str, topic: str | None, output: Path) -> BagImages:
    """The bag to play; without a path, a scene rendered into ``output/bag``.

    Raises:
        SourceError: it is no bag, or cannot be played.
    """
    if not path:
        return BagImages(render_bag(output / 'bag'), IMAGE)
    if not Path(path).exists() or not is_bag(path):
        raise SourceError(f'there is no ROS bag {path}; give a .bag, .db3 or .mcap file or the folder of a bag')
    return BagImages(Path(path), topic)


def render_bag(folder: Path) -> Path:
    """Renders a short walk over a field as a bag, always the same one; its folder. An earlier one is replaced."""
    series = Series(SceneConfig.from_preset('humanoid'), SCENE_SEED, SCENE_FRAMES, sequence=True, fps=SCENE_RATE)
    for remains in (folder, folder.with_name(folder.name + '.parts')):
        shutil.rmtree(remains, ignore_errors=True)

    def progress(results: Iterable[Any], total: int, done: int) -> Iterable[Any]:
        return tqdm(results, total=total, initial=done, desc='render', unit='image')

    write_bag(series, folder, storage='mcap', compressed=False, workers=os.cpu_count() or 1, progress=progress)
    return folder


def first_image(bag: BagImages) -> NDArray[np.uint8] | None:
    """The bag's first image, RGB; None where it is damaged."""
    try:
        return next(bag.messages()).decode().rgb().copy()  # the bag's bytes are read-only, which engines refuse
    except ImageError:
        return None


def size_that_keeps_up(
    bag: BagImages, image: NDArray[np.uint8] | None, rate: float, model: str, engine: str, threads: int
) -> str:
    """The network size at which this machine keeps up with the bag played at ``rate``: native, else half."""
    if image is None:
        return 'native'
    first = itertools.islice(bag.messages(), PACE_IMAGES)
    pauses = [pause(*pair) for pair in itertools.pairwise(first)] or [ASSUMED_PERIOD]
    try:
        return fitting_network_size(
            image, float(np.median(pauses)) / rate, model=model, engine=engine, threads=threads
        ).network_size
    except ImageError:  # too small to be halved
        return 'native'


def report_of(recording: Recording, bag: BagImages) -> dict[str, Any]:
    """What report.json says; latencies in milliseconds, from publication of an image to arrival of its labels."""
    latencies = [frame.latency * 1e3 for frame in recording.answered if frame.latency is not None]
    p50, p95 = (round(float(v), 2) for v in np.percentile(latencies, [50, 95])) if latencies else (None, None)
    return {
        'frames_in': len(recording.frames),
        'frames_out': len(recording.answered),
        'dropped': len(recording.frames) - len(recording.answered),
        'latency_ms_p50': p50,
        'latency_ms_p95': p95,
        'balls_seen': sum(frame.ball is not None for frame in recording.frames),
        'engine': recording.facts.get('engine', ''),
        'model': recording.facts.get('model', ''),
        'model_hash': recording.facts.get('model hash', ''),
        'source': str(bag.path),
        'topic': bag.topic,
        'duration_s': round(recording.duration, 2),
    }


def draw(recording: Recording, bag: BagImages, classes: ClassSet, output: Path) -> None:
    """Writes overlay.mp4 and sheet.png from the bag's images and the labels that came back, in the classes' colours.

    Raises:
        ImageError: the video cannot be written, or not read again.
    """
    frames = recording.frames
    chosen = {round(i) for i in np.linspace(0, len(frames) - 1, min(SHEET_CELLS, len(frames)))}
    cells: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    span = frames[-1].sent - frames[0].sent
    rate = min(max((len(frames) - 1) / span if span > 0 else 1.0, 1.0), 60.0)
    video: VideoWriter | None = None
    written = 0
    path = output / 'overlay.mp4'
    # Under another name until it is whole: a stopped run leaves no video that does not play.
    part = Path(tempfile.mkdtemp(dir=output)) / 'overlay.mp4'
    try:
        messages = tqdm(bag.messages(), total=len(frames), desc='draw', unit='image')
        for frame, message in zip(frames, messages, strict=True):
            try:
                picture = overlay(message.decode().rgb(), frame, classes)
            except ImageError:
                continue  # the node could not answer it either
            video = video or VideoWriter(part, video_size(picture), rate)
            video.write(picture)
            written += 1
            if frame.index in chosen:
                cells.append(picture)
                answer = 'dropped' if frame.labels is None else 'ball' if frame.ball else 'no ball'
                captions.append(f'{frame.sent - frames[0].sent:.1f} s: {answer}')
        if video is None:
            raise ImageError(f'no image of {bag.path} can be decoded')
        video.close()
        check_video(part, written)
        part.replace(path)
    finally:
        shutil.rmtree(part.parent, ignore_errors=True)
    sheet = contact_sheet(cells, SHEET_COLUMNS, SHEET_CELL_WIDTH, captions)
    cv2.imwrite(str(output / 'sheet.png'), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def video_size(picture: NDArray[np.uint8]) -> tuple[int, int]:
    """(width, height) in pixels of the video that shows such pictures."""
    height, width = picture.shape[:2]
    scale = min(1.0, VIDEO_SIDE / max(width, height))
    return max(2, round(width * scale)), max(2, round(height * scale))


def overlay(image: NDArray[np.uint8], frame: Played, classes: ClassSet) -> NDArray[np.uint8]:
    """The image with what the node said of it; a dropped one is marked so."""
    if frame.labels is None:
        picture = image.copy()
        cv2.putText(picture, 'dropped', (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 0, 0), 2, cv2.LINE_AA)
        return picture
    picture = draw_overlay(image, frame.labels, classes)
    if frame.ball is not None:
        x, y, radius = frame.ball
        center = round(x * 16), round(y * 16)  # OpenCV's `shift`: sixteenths of a pixel
        cv2.circle(picture, center, round(max(radius, 3.0) * 16) + 32, (255, 0, 255), 2, cv2.LINE_AA, shift=4)
    return picture


def check_video(path: Path, frames: int) -> None:
    """Reads a video again.

    Raises:
        ImageError: it does not hold that many frames.
    """
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    if count != frames:
        raise ImageError(f'{path.name} holds {count} instead of {frames} frames: this OpenCV cannot write VP9')


if __name__ == '__main__':
    raise SystemExit(main(prog='demo'))
