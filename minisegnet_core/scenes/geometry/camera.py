"""Cameras: pose, lens model, projection and back-projection.

The camera frame is that of ROS: x right, y down, z forward. Lens models are ``plumb_bob`` (pinhole with k1, k2, p1, p2,
k3) and ``equidistant`` (fisheye with k1 to k4), as OpenCV and sensor_msgs/CameraInfo define them. Pixel centres are at
integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A camera in the field.

    Attributes:
        width, height: image size in pixels.
        model: ``plumb_bob`` or ``equidistant``.
        fx, fy, cx, cy: focal lengths and principal point in pixels.
        distortion: 5 coefficients (plumb_bob) or 4 (equidistant).
        rotation: (3, 3) from the field frame to the camera frame; its rows are the camera's axes in the field frame.
        position: (3,) in metres in the field frame.
        limit: maximum angle from the optical axis that reaches the sensor, in radians.
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
        """Return the pixel coordinates (u, v) of directions in the camera frame; NaN outside the lens's view."""
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
        """Return the unit directions (x, y, z) in the camera frame of pixel coordinates.

        This inverts :meth:`distort` to within 1e-3 px wherever the lens model can be inverted. Pixels outside the
        image circle give the direction at the limit on the same side.
        """
        xd, yd = (u - self.cx) / self.fx, (v - self.cy) / self.fy
        radius = np.hypot(xd, yd)
        if self.model == 'equidistant':
            theta = np.clip(_invert(radius, self.radial, self.limit), 0, self.limit)
            sine = np.sin(theta) / np.maximum(radius, 1e-12)
            return xd * sine, yd * sine, np.cos(theta)
        k1, k2, p1, p2, k3 = self.distortion
        edge = math.tan(min(self.limit, 1.5))
        # Invert the radial part first, then refine with Newton's method on the whole model.
        ratio = _invert(radius, self.radial, edge) / np.maximum(radius, 1e-12)
        a, b = xd * ratio, yd * ratio
        worst = np.inf if p1 or p2 else 0.0
        for _ in range(6):
            if worst < 1e-5:  # the last step left the square of this error
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
        # The tangential part may lead outside the lens's view, where the model is undefined.
        ratio = edge / np.maximum(np.hypot(a, b), edge)
        a, b = a * ratio, b * ratio
        length = np.sqrt(a * a + b * b + 1)
        return a / length, b / length, 1 / length

    def radial(self, value: Floats) -> tuple[Floats, Floats]:
        """Return the radial model and its derivative at an angle (equidistant) or the tangent of one (plumb_bob)."""
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
        """Project points (..., 3), in metres in the field frame, to pixels (..., 2); NaN outside the lens's view."""
        local = (points - self.position) @ self.rotation.T
        u, v = self.distort(local[..., 0], local[..., 1], local[..., 2])
        return np.stack([u, v], axis=-1)

    def rays(self, u: Floats, v: Floats) -> Floats:
        """Return the unit directions (3, ...) in the field frame of pixel coordinates."""
        x, y, z = self.undistort(u, v)
        turn = self.rotation.T
        return np.stack([row[0] * x + row[1] * y + row[2] * z for row in turn])

    def info(self) -> dict[str, Any]:
        """Return the contents of a CameraInfo message: width, height, distortion_model, d, k (9), r (9), p (12)."""
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
        """Return the camera as data sets hold it: :meth:`info` without r and p, but with pose and limit."""
        info = self.info()
        return {
            **{key: info[key] for key in ('width', 'height', 'distortion_model', 'd', 'k')},
            'rotation': [[round(float(v), 8) for v in row] for row in self.rotation],
            'position': [round(float(v), 6) for v in self.position],
            'limit': round(self.limit, 6),
        }


def _invert(bent: Floats, model: Callable[[Floats], tuple[Floats, Floats]], edge: float) -> Floats:
    """Solve model(x) = bent for x in [0, edge] to 1e-9: a table of 1025 nodes, then one Newton step."""
    nodes = np.linspace(0.0, edge, 1025)
    table = np.maximum.accumulate(model(nodes)[0])
    value = np.interp(bent, table, nodes)
    at, slope = model(value)
    return np.asarray(np.clip(value - (at - bent) / np.maximum(slope, 0.05), 0.0, edge), np.float64)


def pose(yaw: float, pitch: float, roll: float) -> Floats:
    """Return the rotation (3, 3) from the field frame to the camera frame.

    Args:
        yaw: direction of the optical axis, counter-clockwise from x, in radians.
        pitch: angle of the optical axis below the horizontal, in radians.
        roll: clockwise about the optical axis as the camera sees it, in radians.
    """
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    forward = np.array([cy * cp, sy * cp, -sp])
    right = np.array([sy, -cy, 0.0])
    down = np.cross(forward, right)
    cr, sr = math.cos(roll), math.sin(roll)
    return np.stack([cr * right + sr * down, cr * down - sr * right, forward])


def horizontal_focal_length(width: int, field_of_view: float, model: str, distortion: tuple[float, ...]) -> float:
    """Return fx in pixels for a horizontal field of view in radians and a centred principal point."""
    probe = Camera(width, width, model, 1.0, 1.0, 0.0, 0.0, distortion, np.eye(3), np.zeros(3))
    half = field_of_view / 2
    value = half if model == 'equidistant' else math.tan(half)
    return float(width / 2 / probe.radial(np.array(value))[0])


def invertible(model: str, distortion: tuple[float, ...], edge: float) -> bool:
    """Return whether a lens's radial model rises with at least a tenth of its initial slope all the way to ``edge``.

    Args:
        edge: an angle in radians (equidistant) or the tangent of one (plumb_bob).
    """
    probe = Camera(1, 1, model, 1.0, 1.0, 0.0, 0.0, distortion, np.eye(3), np.zeros(3))
    return bool((probe.radial(np.linspace(0, edge, 65))[1] > 0.1).all())
