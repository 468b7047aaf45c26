"""Recordings that are written while an evaluation runs: a video with overlaid labels, and a bag of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import Ball
from minisegnet_core.classes import ClassSet
from minisegnet_core.evaluation.scoring.frames import FrameScore, Prediction
from minisegnet_core.evaluation.sources.source import SourceFrame
from minisegnet_core.imaging import encode_image
from minisegnet_core.video import VideoWriter
from minisegnet_core.visualization import colorize, draw_overlay, enlarge_labels

MAX_VIDEO_SIDE = 480
"""Maximum length of the video's longer side in pixels; encoding VP9 is slow."""

JPEG_QUALITY = 85

TOPIC_PREFIX = '/minisegnet'


def overlay_of(frame: SourceFrame, prediction: Prediction | None, classes: ClassSet) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB: the image with labels and ball, or with the word "dropped"."""
    if prediction is None:
        image = np.array(frame.image, np.uint8)
        cv2.putText(image, 'dropped', (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 0, 0), 2, cv2.LINE_AA)
        return image
    balls = () if prediction.ball is None else (prediction.ball,)
    return np.asarray(draw_overlay(frame.image, prediction.label_image, classes, balls), np.uint8)


class OverlayVideo:
    """Write the overlay of every frame into a video ``path`` (.mp4) at ``fps`` frames per second."""

    def __init__(self, path: Path, classes: ClassSet, fps: float) -> None:
        self._path, self._classes, self._fps = path, classes, fps
        self._video: VideoWriter | None = None

    def add(self, frame: SourceFrame, prediction: Prediction | None, score: FrameScore) -> None:
        image = overlay_of(frame, prediction, self._classes)
        height, width = image.shape[:2]
        scale = min(1.0, MAX_VIDEO_SIDE / max(width, height))
        size = max(2, round(width * scale)), max(2, round(height * scale))
        if scale < 1:
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        self._video = self._video or VideoWriter(self._path, size, self._fps)
        self._video.write(image)

    def close(self) -> None:
        """Finish the file; without this it cannot be played."""
        if self._video is not None:
            self._video.close()


class ResultsBag:
    """Write the predictions into an MCAP bag with the stamps, frames and reception times of the images.

    A player that opens it beside the original bag shows both on one clock. Topics below ``/minisegnet``:
    ``label_image`` (mono8 ids, as the node publishes), ``label_color/compressed`` (class colours at the image's size,
    PNG), ``overlay/compressed`` (JPEG), ``ball`` (PointStamped, as the node publishes) and ``ball_marker``
    (visualization_msgs/ImageMarker, a circle for the original image).

    Args:
        path: folder to create.
    """

    def __init__(self, path: Path, classes: ClassSet) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore

        self._classes = classes
        self._store = get_typestore(Stores.ROS2_HUMBLE)
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections = {
            topic: self._writer.add_connection(f'{TOPIC_PREFIX}/{topic}', kind, typestore=self._store)
            for topic, kind in (
                ('label_image', 'sensor_msgs/msg/Image'),
                ('label_color/compressed', 'sensor_msgs/msg/CompressedImage'),
                ('overlay/compressed', 'sensor_msgs/msg/CompressedImage'),
                *((('ball', 'geometry_msgs/msg/PointStamped'),) if classes.has_ball else ()),
                *((('ball_marker', 'visualization_msgs/msg/ImageMarker'),) if classes.has_ball else ()),
            )
        }

    def add(self, frame: SourceFrame, prediction: Prediction | None, score: FrameScore) -> None:
        if prediction is None:
            return
        types = self._store.types
        stamp = frame.stamp or 0
        time = types['builtin_interfaces/msg/Time'](sec=stamp // 10**9, nanosec=stamp % 10**9)
        header = types['std_msgs/msg/Header'](stamp=time, frame_id=frame.frame_id)
        labels = prediction.label_image
        height, width = labels.shape
        messages = {
            'label_image': types['sensor_msgs/msg/Image'](
                header, height, width, 'mono8', 0, width, np.ascontiguousarray(labels).reshape(-1)
            )
        }
        large = enlarge_labels(labels, frame.image.shape[1], frame.image.shape[0])
        images = {
            'label_color/compressed': ('png', encode_image(colorize(large, self._classes), '.png')),
            'overlay/compressed': (
                'jpeg',
                encode_image(overlay_of(frame, prediction, self._classes), '.jpg', JPEG_QUALITY),
            ),
        }
        for topic, (kind, data) in images.items():
            messages[topic] = types['sensor_msgs/msg/CompressedImage'](header, kind, np.frombuffer(data, np.uint8))
        if prediction.ball is not None:
            ball = prediction.ball
            point = types['geometry_msgs/msg/Point'](ball.x, ball.y, ball.radius)
            messages['ball'] = types['geometry_msgs/msg/PointStamped'](header, point)
            messages['ball_marker'] = self._marker(header, ball)
        for topic, message in messages.items():
            connection = self._connections[topic]
            received = stamp if frame.received is None else frame.received
            self._writer.write(connection, received, self._store.serialize_cdr(message, connection.msgtype))

    def _marker(self, header: Any, ball: Ball) -> Any:
        types = self._store.types
        color = types['std_msgs/msg/ColorRGBA'](1.0, 0.0, 1.0, 1.0)
        return types['visualization_msgs/msg/ImageMarker'](
            header=header,
            ns='minisegnet',
            id=0,
            type=0,  # circle
            action=0,  # add
            position=types['geometry_msgs/msg/Point'](ball.x, ball.y, 0.0),
            scale=2 * max(ball.radius, 3.0),  # Foxglove reads it as the diameter
            outline_color=color,
            filled=0,
            fill_color=types['std_msgs/msg/ColorRGBA'](0.0, 0.0, 0.0, 0.0),
            lifetime=types['builtin_interfaces/msg/Duration'](0, 0),
            points=[],
            outline_colors=[],
        )

    def close(self) -> None:
        """Finish the bag; without this it cannot be read."""
        self._writer.close()


def video_fps(frames: int, nanoseconds: int) -> float:
    """Return the frame rate of a video that plays as fast as its source: 1 to 60, or 10 if the duration is unknown."""
    seconds = nanoseconds / 1e9
    fps = (frames - 1) / seconds if seconds > 0 and frames > 1 else 10.0
    return min(max(fps, 1.0), 60.0)
