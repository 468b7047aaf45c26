"""Scenes: rendered robot-soccer images with exact labels, so varied that a network learns to work on real photos."""

from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.geometry.camera import Camera
from minisegnet_core.scenes.renderer import LabelledImage, render_scene
from minisegnet_core.scenes.sequence import SceneSequence, render_sequence

__all__ = ['Camera', 'LabelledImage', 'SceneConfig', 'SceneSequence', 'render_scene', 'render_sequence']
