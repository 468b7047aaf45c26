"""Writes a rendered series as a ROS 2 bag: images, camera_info, ground-truth labels and ball, with equal stamps."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from minisegnet_core.errors import DatasetError
from minisegnet_core.scenes.series import Progress, Series, check_record, mapped, render_index

FRAME = 'camera'
IMAGE, COMPRESSED = '/camera/image_raw', '/camera/image_raw/compressed'
INFO, LABELS, BALL = '/camera/camera_info', '/ground_truth/label_image', '/ground_truth/ball'
QUALITY = 90


@dataclass(frozen=True)
class _Keep:
    """Renders a frame and keeps it in the parts folder until the bag is put together."""

    root: Path
    series: Series
    compressed: bool

    def __call__(self, index: int) -> int:
        rendered = render_index(index)
        ending, options = ('.jpg', [cv2.IMWRITE_JPEG_QUALITY, QUALITY]) if self.compressed else ('.png', [])
        _, image = cv2.imencode(ending, cv2.cvtColor(rendered.image, cv2.COLOR_RGB2BGR), options)
        _, labels = cv2.imencode('.png', rendered.labels)
        truth = {'balls': [asdict(ball) for ball in rendered.balls], 'camera': rendered.camera.info()}
        temporary = self.root / f'{index:06d}.part'
        with temporary.open('wb') as file:
            np.savez(file, image=image, labels=labels, truth=np.frombuffer(json.dumps(truth).encode(), np.uint8))
        temporary.replace(_part(self.root, index))
        return index


def _part(root: Path, index: int) -> Path:
    return root / f'{index:06d}.npz'


def write_bag(
    series: Series, output: Path, *, storage: str, compressed: bool, workers: int, progress: Progress[Any]
) -> int:
    """Renders a series into the bag folder ``output``; returns how many frames were rendered.

    Frames are kept in ``<output>.parts`` until all are there. When it is interrupted, the bag holds the frames so
    far; run again, it takes the kept frames and goes on.

    Args:
        storage: mcap or sqlite3.
        compressed: JPEG on /camera/image_raw/compressed in place of rgb8 on /camera/image_raw.

    Raises:
        DatasetError: ``output`` holds a finished bag or something else.
    """
    parts = output.with_name(output.name + '.parts')
    if output.exists() and not parts.is_dir():
        raise DatasetError(f'{output} exists already; choose another --output, or remove it')
    check_record(parts, {**series.describe(), 'storage': storage, 'compressed': compressed})
    missing = [index for index in range(series.count) if not _part(parts, index).is_file()]
    try:
        with mapped(series, _Keep(parts, series, compressed), missing, workers) as results:
            for _ in progress(results, series.count, series.count - len(missing)):
                pass
    finally:
        if output.exists():
            shutil.rmtree(output)
        there = [index for index in range(series.count) if _part(parts, index).is_file()]
        if there:
            _assemble(series, parts, there, output, storage, compressed)
    shutil.rmtree(parts)
    return len(missing)


def _assemble(series: Series, parts: Path, indices: list[int], output: Path, storage: str, compressed: bool) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    plugin = StoragePlugin.MCAP if storage == 'mcap' else StoragePlugin.SQLITE3
    kinds = {
        COMPRESSED if compressed else IMAGE: f'sensor_msgs/msg/{"CompressedImage" if compressed else "Image"}',
        INFO: 'sensor_msgs/msg/CameraInfo',
        LABELS: 'sensor_msgs/msg/Image',
        BALL: 'geometry_msgs/msg/PointStamped',
    }
    with Writer(output, version=9, storage_plugin=plugin) as writer:
        connections = {topic: writer.add_connection(topic, kind, typestore=store) for topic, kind in kinds.items()}
        for index in indices:
            stamp = series.stamp(index)
            time = types['builtin_interfaces/msg/Time'](sec=stamp // 10**9, nanosec=stamp % 10**9)
            header = types['std_msgs/msg/Header'](stamp=time, frame_id=FRAME)
            for topic, message in _messages(types, header, _part(parts, index), compressed).items():
                writer.write(connections[topic], stamp, store.serialize_cdr(message, kinds[topic]))


def _messages(types: Any, header: Any, part: Path, compressed: bool) -> dict[str, Any]:
    with np.load(part) as kept:
        image, labels = kept['image'], cv2.imdecode(kept['labels'], cv2.IMREAD_UNCHANGED)
        truth = json.loads(kept['truth'].tobytes())
    messages: dict[str, Any] = {}
    if compressed:
        messages[COMPRESSED] = types['sensor_msgs/msg/CompressedImage'](header, 'rgb8; jpeg compressed bgr8', image)
    else:
        pixels = cv2.cvtColor(cv2.imdecode(image, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        messages[IMAGE] = _image(types, header, pixels, 'rgb8')
    camera = truth['camera']
    region = types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
    messages[INFO] = types['sensor_msgs/msg/CameraInfo'](
        header=header,
        height=camera['height'],
        width=camera['width'],
        distortion_model=camera['distortion_model'],
        d=np.array(camera['d'], np.float64),
        k=np.array(camera['k'], np.float64),
        r=np.array(camera['r'], np.float64),
        p=np.array(camera['p'], np.float64),
        binning_x=0,
        binning_y=0,
        roi=region,
    )
    messages[LABELS] = _image(types, header, labels, 'mono8')
    if truth['balls']:
        # Several balls: the one a player would go for, of which most pixels show.
        best = max(truth['balls'], key=lambda ball: ball['visible'] * ball['radius'] ** 2)
        point = types['geometry_msgs/msg/Point'](best['visible_x'], best['visible_y'], best['radius'])
        messages[BALL] = types['geometry_msgs/msg/PointStamped'](header=header, point=point)
    return messages


def _image(types: Any, header: Any, pixels: Any, encoding: str) -> Any:
    height, width = pixels.shape[:2]
    return types['sensor_msgs/msg/Image'](
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=pixels.size // height,
        data=np.ascontiguousarray(pixels).reshape(-1),
    )
