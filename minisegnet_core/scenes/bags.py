"""ROS 2 bags of rendered series: images, camera_info, ground-truth labels and the ball, with equal stamps."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from minisegnet_core.errors import DatasetError
from minisegnet_core.files import write_atomically
from minisegnet_core.imaging import decode_png, encode_image
from minisegnet_core.parallel import map_in_processes
from minisegnet_core.scenes.series import Progress, Series, claim_folder, no_progress

FRAME = 'camera'
"""frame_id of all headers."""

IMAGE, COMPRESSED = '/camera/image_raw', '/camera/image_raw/compressed'
INFO, LABELS, BALL = '/camera/camera_info', '/ground_truth/label_image', '/ground_truth/ball'
QUALITY = 90
"""JPEG quality of compressed images."""


def write_bag(
    series: Series,
    output: Path,
    *,
    storage: str = 'mcap',
    compressed: bool = False,
    workers: int = 1,
    progress: Progress[Any] = no_progress,
) -> int:
    """Render a series into a bag.

    Frames are kept in the folder ``<output>.parts`` until all are rendered. When the call is interrupted, the bag holds
    the frames rendered so far, and the next call continues it.

    Args:
        series: what to render.
        output: folder of the bag.
        storage: ``mcap`` or ``sqlite3``.
        compressed: write JPEG images to /camera/image_raw/compressed instead of rgb8 images to /camera/image_raw.
        workers: number of processes; with more than one, a script needs a main guard.
        progress: wraps the results for a display.

    Returns:
        The number of frames rendered by this call.

    Raises:
        DatasetError: ``output`` is a finished bag or holds something else.
        ConfigurationError: the worker processes ended early, or a photo cannot be read.
    """
    parts = output.with_name(output.name + '.parts')
    if output.exists() and not parts.is_dir():
        raise DatasetError(f'{output} exists already; choose another --output or remove it')
    claim_folder(parts, {**series.describe(), 'storage': storage, 'compressed': compressed})
    missing = [index for index in range(series.count) if not _part(parts, index).is_file()]
    try:
        with closing(map_in_processes(partial(_keep_frame, series, parts, compressed), missing, workers)) as results:
            for _ in progress(results, series.count, series.count - len(missing)):
                pass
    finally:
        if output.exists():
            shutil.rmtree(output)
        rendered = [index for index in range(series.count) if _part(parts, index).is_file()]
        if rendered:
            _assemble(series, parts, rendered, output, storage, compressed)
    shutil.rmtree(parts)
    return len(missing)


def _part(folder: Path, index: int) -> Path:
    return folder / f'{index:06d}.npz'


def _keep_frame(series: Series, folder: Path, compressed: bool, index: int) -> None:
    """Render a frame and keep it until the bag is assembled."""
    rendered = series.render(index)
    image = encode_image(rendered.image, '.jpg' if compressed else '.png', QUALITY)
    annotations = {'balls': [asdict(ball) for ball in rendered.balls], 'camera': rendered.camera.info()}
    content = {
        'image': image,
        'labels': encode_image(rendered.labels, '.png'),
        'annotations': json.dumps(annotations).encode(),
    }
    arrays: dict[str, Any] = {name: np.frombuffer(data, np.uint8) for name, data in content.items()}
    write_atomically(_part(folder, index), lambda file: np.savez(file, **arrays))


def _assemble(series: Series, parts: Path, indices: list[int], output: Path, storage: str, compressed: bool) -> None:
    """Write a bag of the kept frames."""
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
    """Return the messages of a kept frame by topic."""
    with np.load(part) as kept:
        image, labels = kept['image'], decode_png(kept['labels'].tobytes())
        annotations = json.loads(kept['annotations'].tobytes())
    messages: dict[str, Any] = {}
    if compressed:
        messages[COMPRESSED] = types['sensor_msgs/msg/CompressedImage'](header, 'rgb8; jpeg compressed bgr8', image)
    else:
        messages[IMAGE] = _image(types, header, decode_png(image.tobytes()), 'rgb8')
    camera = annotations['camera']
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
    if annotations['balls']:
        # Publish the ball with the largest visible area, since a player would approach it.
        best = max(annotations['balls'], key=lambda ball: ball['visible'] * ball['radius'] ** 2)
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
