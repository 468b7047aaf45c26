"""Rendered robot-soccer images with exact labels, varied enough for a network to learn from them and work on photos."""

from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.geometry.camera import Camera
from minisegnet_core.scenes.renderer import LabelledImage, render_scene
from minisegnet_core.scenes.sequence import SceneSequence, render_sequence
from minisegnet_core.scenes.series import Series, write_dataset, write_dataset_preview, write_preview

__all__ = [
    'Camera',
    'LabelledImage',
    'SceneConfig',
    'SceneSequence',
    'Series',
    'render_scene',
    'render_sequence',
    'write_dataset',
    'write_dataset_preview',
    'write_preview',
]
