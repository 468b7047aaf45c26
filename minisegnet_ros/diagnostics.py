"""What the node knows of its own health: counts, rates, latencies, and whether the camera shows anything."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from numpy.typing import NDArray

WINDOW = 10.0
"""Seconds over which rate and latency are taken."""

SILENCE = 2.0
"""Seconds without an image after which the camera counts as absent."""

DARK = 8.0
"""Mean pixel value, 0..255, below which an image counts as dark."""

FROZEN = 30
"""So many images in a row without any change are a frozen camera: no sensor is free of noise."""


class CameraWatch:
    """Notices a camera that shows nothing: a covered lens, or the same image again and again."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None
        self._same = 0
        self._dark = False

    def see(self, image: NDArray[np.uint8]) -> None:
        """Looks at every 16th pixel of an (H, W, 3) uint8 image."""
        sample = image[::16, ::16].copy()
        self._dark = float(sample.mean()) < DARK
        same = self._last is not None and np.array_equal(sample, self._last)
        self._same = self._same + 1 if same else 0
        self._last = sample

    @property
    def complaint(self) -> str:
        """What is wrong with the picture, or an empty text."""
        if self._dark:
            return 'the image is dark: is the lens covered, the exposure too short?'
        if self._same >= FROZEN:
            return f'the camera is frozen: the last {self._same + 1} images are the same'
        return ''


class Statistics:
    """Counts frames from several threads. All since the last activation.

    taken: images received; answered: results published; dropped: images taken but not answered, and images the
    middleware reports as lost; bad: of the dropped, those that could not be decoded; old: those past max_image_age;
    unheard: images not worked on since nobody subscribed to any output.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.camera = CameraWatch()
        self.taken = self.answered = self.dropped = self.bad = self.old = self.lost = self.unheard = 0
        self._answers: deque[tuple[float, float]] = deque()
        self._last_image = self._started = time.monotonic()

    def take(self) -> None:
        with self._lock:
            self.taken += 1
            self._last_image = time.monotonic()

    def drop(self, count: int = 1, *, bad: bool = False, old: bool = False, lost: bool = False) -> None:
        with self._lock:
            self.dropped += count
            self.bad += count * bad
            self.old += count * old
            self.lost += count * lost

    def skip_unheard(self) -> None:
        with self._lock:
            self.unheard += 1

    def answer(self, latency: float) -> None:
        """Counts an answer; latency: seconds from the image's arrival to the publication of its labels."""
        with self._lock:
            self.answered += 1
            self._answers.append((time.monotonic(), latency))
            self._forget()

    def _forget(self) -> None:
        while self._answers and self._answers[0][0] < time.monotonic() - WINDOW:
            self._answers.popleft()

    def status(self, name: str, facts: Mapping[str, object]) -> DiagnosticStatus:
        """The diagnostic status; ``facts`` are further key and value pairs, such as the engine."""
        with self._lock:
            self._forget()
            now = time.monotonic()
            latencies = [latency * 1e3 for _, latency in self._answers]
            span = min(WINDOW, max(now - self._started, 1e-3))
            p50, p95 = np.percentile(latencies, [50, 95]) if latencies else (0.0, 0.0)
            silent = now - self._last_image
            values = {
                'rate [Hz]': f'{len(latencies) / span:.2f}',
                'latency p50 [ms]': f'{p50:.2f}',
                'latency p95 [ms]': f'{p95:.2f}',
                'images taken': self.taken,
                'images answered': self.answered,
                'dropped': self.dropped,
                'lost by the middleware': self.lost,
                'bad images': self.bad,
                'old images': self.old,
                'unheard': self.unheard,
                **facts,
            }
            level, message = DiagnosticStatus.OK, 'segmenting'
            if silent > SILENCE:
                level, message = DiagnosticStatus.WARN, f'no image for {silent:.0f} s'
            elif self.camera.complaint:
                level, message = DiagnosticStatus.WARN, self.camera.complaint
        return status(name, level, message, values)


def status(name: str, level: bytes, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    """A DiagnosticStatus of our node."""
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id='minisegnet', values=pairs)
