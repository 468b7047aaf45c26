"""Cameras: pose, lens, and both directions of projection. Camera frame as in ROS: x right, y down, z forward.

Lenses: ``plumb_bob`` (pinhole with k1, k2, p1, p2, k3) and ``equidistant`` (fisheye with k1..k4), as OpenCV and
sensor_msgs/CameraInfo define them. Pixel centres are at integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A camera in the field.

    width, height: of the image, pixels; model: plumb_bob or equidistant; fx, fy, cx, cy: pixels; distortion: 5 or 4
    coefficients; rotation: (3, 3) rows are the camera's axes in the field frame (field to camera); position: (3,)
    metres in the field frame; limit: largest angle from the optical axis that reaches the sensor, radians.
    """

    width: int
    height: int
    model: str
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...]
    rotation: Floats
    position: Floats
    limit: float = math.pi

    def distort(self, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Pixel coordinates of directions in the camera frame; NaN where the lens cannot see."""
        if self.model == 'equidistant':
            k1, k2, k3, k4 = self.distortion
            rho = np.hypot(x, y)
            theta = np.arctan2(rho, z)
            square = theta * theta
            bent = theta * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
            scale = np.where(rho > 1e-12, bent / np.maximum(rho, 1e-12), 1 / np.maximum(z, 1e-12))
            u, v = x * scale, y * scale
        else:
            k1, k2, p1, p2, k3 = self.distortion
            depth = np.where(z > 1e-9, z, np.nan)
            a, b = x / depth, y / depth
            square = a * a + b * b
            radial = 1 + square * (k1 + square * (k2 + square * k3))
            u = a * radial + 2 * p1 * a * b + p2 * (square + 2 * a * a)
            v = b * radial + p1 * (square + 2 * b * b) + 2 * p2 * a * b
            theta = np.arctan2(np.hypot(x, y), z)
        seen = theta <= self.limit
        return (
            np.where(seen, u * self.fx + self.cx, np.nan),
            np.where(seen, v * self.fy + self.cy, np.nan),
        )

    def undistort(self, u: Floats, v: Floats) -> tuple[Floats, Floats, Floats]:
        """Unit directions in the camera frame of pixel coordinates; the inverse of :meth:`distort` within 1e-3 px
        wherever the lens can be inverted. Beyond the limit: the direction at the limit, to the same side."""
        xd, yd = (u - self.cx) / self.fx, (v - self.cy) / self.fy
        radius = np.hypot(xd, yd)
        if self.model == 'equidistant':
            theta = np.clip(_invert(radius, self._bend, self.limit), 0, self.limit)
            sine = np.sin(theta) / np.maximum(radius, 1e-12)
            return xd * sine, yd * sine, np.cos(theta)
        k1, k2, p1, p2, k3 = self.distortion
        edge = math.tan(min(self.limit, 1.5))
        # Without the tangential part first, then Newton's steps on the whole model.
        ratio = _invert(radius, self._bend, edge) / np.maximum(radius, 1e-12)
        a, b = xd * ratio, yd * ratio
        worst = np.inf if p1 or p2 else 0.0
        for _ in range(6):
            if worst < 1e-5:  # its square is left after that step
                break
            s, ab = a * a + b * b, a * b
            radial = 1 + s * (k1 + s * (k2 + s * k3))
            slope = 2 * (k1 + s * (2 * k2 + s * 3 * k3))
            miss_a = a * radial + 2 * p1 * ab + p2 * (s + 2 * a * a) - xd
            miss_b = b * radial + p1 * (s + 2 * b * b) + 2 * p2 * ab - yd
            across = ab * slope + 2 * (p1 * a + p2 * b)
            along_a = radial + a * a * slope + 2 * p1 * b + 6 * p2 * a
            along_b = radial + b * b * slope + 6 * p1 * b + 2 * p2 * a
            scale = 1 / np.maximum(along_a * along_b - across * across, 0.01)
            a, b = a - (along_b * miss_a - across * miss_b) * scale, b - (along_a * miss_b - across * miss_a) * scale
            worst = max(float(np.abs(miss_a).max(initial=0)), float(np.abs(miss_b).max(initial=0)))
        # The tangential part may lead past what the lens can see, and from there anywhere.
        ratio = edge / np.maximum(np.hypot(a, b), edge)
        a, b = a * ratio, b * ratio
        length = np.sqrt(a * a + b * b + 1)
        return a / length, b / length, 1 / length

    def _bend(self, value: Floats) -> tuple[Floats, Floats]:
        """The radial model and its derivative, at an angle (equidistant) or a tangent (plumb_bob)."""
        if self.model == 'equidistant':
            k1, k2, k3, k4 = self.distortion
        else:
            k1, k2, _, _, k3 = self.distortion
            k4 = 0.0
        s = value * value
        return (
            value * (1 + s * (k1 + s * (k2 + s * (k3 + s * k4)))),
            1 + s * (3 * k1 + s * (5 * k2 + s * (7 * k3 + s * 9 * k4))),
        )

    def project(self, points: Floats) -> Floats:
        """(..., 3) points in the field frame, metres, to (..., 2) pixel coordinates; NaN where the lens cannot see."""
        local = (points - self.position) @ self.rotation.T
        u, v = self.distort(local[..., 0], local[..., 1], local[..., 2])
        return np.stack([u, v], axis=-1)

    def rays(self, u: Floats, v: Floats) -> Floats:
        """Unit directions (3, ...) in the field frame of pixel coordinates."""
        x, y, z = self.undistort(u, v)
        turn = self.rotation.T
        return np.stack([row[0] * x + row[1] * y + row[2] * z for row in turn])

    def info(self) -> dict[str, Any]:
        """The contents of camera_info: width, height, distortion_model, d, k (9), r (9), p (12)."""
        matrix = [self.fx, 0.0, self.cx, 0.0, self.fy, self.cy, 0.0, 0.0, 1.0]
        return {
            'width': self.width,
            'height': self.height,
            'distortion_model': self.model,
            'd': list(self.distortion),
            'k': matrix,
            'r': [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            'p': [self.fx, 0.0, self.cx, 0.0, 0.0, self.fy, self.cy, 0.0, 0.0, 0.0, 1.0, 0.0],
        }

    def describe(self) -> dict[str, Any]:
        """As data sets hold it: :meth:`info` less r and p, with the pose in the field frame and the lens's limit."""
        info = self.info()
        return {
            **{key: info[key] for key in ('width', 'height', 'distortion_model', 'd', 'k')},
            'rotation': [[round(float(v), 8) for v in row] for row in self.rotation],
            'position': [round(float(v), 6) for v in self.position],
            'limit': round(self.limit, 6),
        }


def _invert(bent: Floats, bend: Any, edge: float) -> Floats:
    """Solves bend(x) = bent for x in 0..edge: a table of 1025 nodes, then one of Newton's steps, for 1e-9."""
    nodes = np.linspace(0.0, edge, 1025)
    table = np.maximum.accumulate(bend(nodes)[0])
    value = np.interp(bent, table, nodes)
    at, slope = bend(value)
    return np.asarray(np.clip(value - (at - bent) / np.maximum(slope, 0.05), 0.0, edge), np.float64)


def pose(yaw: float, pitch: float, roll: float) -> Floats:
    """(3, 3) field to camera. yaw: of the optical axis from x, counter-clockwise; pitch: below the horizontal;
    roll: clockwise about the optical axis, as the camera sees it; radians."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    forward = np.array([cy * cp, sy * cp, -sp])
    right = np.array([sy, -cy, 0.0])
    down = np.cross(forward, right)
    cr, sr = math.cos(roll), math.sin(roll)
    return np.stack([cr * right + sr * down, cr * down - sr * right, forward])


def horizontal_focal_length(width: int, field_of_view: float, model: str, distortion: tuple[float, ...]) -> float:
    """fx in pixels that gives a horizontal field of view (radians, through a centred principal point)."""
    probe = Camera(width, width, model, 1.0, 1.0, 0.0, 0.0, distortion, np.eye(3), np.zeros(3))
    half = field_of_view / 2
    value = half if model == 'equidistant' else math.tan(half)
    return float(width / 2 / probe._bend(np.array(value))[0])


def invertible(model: str, distortion: tuple[float, ...], edge: float) -> bool:
    """Whether a lens's radial part grows everywhere, by a tenth of its first slope or more, up to ``edge``: a tangent
    (plumb_bob) or an angle in radians (equidistant)."""
    probe = Camera(1, 1, model, 1.0, 1.0, 0.0, 0.0, distortion, np.eye(3), np.zeros(3))
    return bool((probe._bend(np.linspace(0, edge, 65))[1] > 0.1).all())
