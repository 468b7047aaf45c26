"""What the node knows of its own health: counts, rates, latencies, and whether the camera shows anything."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence

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

OLD_IN_A_ROW = 30
"""So many images dropped for their age in a row are most likely a matter of clocks, not of delay."""


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
    middleware reports as lost; bad: of the dropped, those that could not be decoded or worked on; old: those past
    max_image_age; unheard: images not worked on since nobody subscribed to any output; paused: since `~/enable` said
    so.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.camera = CameraWatch()
        self.taken = self.answered = self.dropped = self.bad = self.old = self.lost = self.unheard = self.paused = 0
        self._answers: deque[tuple[float, float, float, float]] = deque()
        self._losses: deque[tuple[float, int]] = deque()
        self._old_in_a_row = 0
        self._fault = ''
        self._idle = False
        self._last_image = self._started = time.monotonic()

    def take(self, count: int = 1) -> None:
        with self._lock:
            self.taken += count
            self._last_image = time.monotonic()

    def lose(self, count: int) -> None:
        """Counts images that the middleware reports as lost."""
        with self._lock:
            self.lost += count
            self.dropped += count
            self._losses.append((time.monotonic(), count))
            self._forget()

    def drop(self, count: int = 1, *, old: bool = False, fault: str = '') -> None:
        """Counts dropped images; fault: why one could not be worked on."""
        with self._lock:
            self.dropped += count
            self.bad += bool(fault)
            self.old += old
            self._old_in_a_row += old
            self._fault = fault or self._fault

    def skip(self, *, paused: bool = False) -> None:
        """Counts an image that nobody wants an answer to."""
        with self._lock:
            self.paused += paused
            self.unheard += not paused
            self._fault, self._old_in_a_row = '', 0
            self._idle = not paused

    def answer(self, latency: float, engine: float, busy: float) -> None:
        """Counts an answer.

        Args:
            latency: seconds from the image's arrival to the publication of its labels.
            engine: of these, seconds inside the engine.
            busy: of the latency, seconds spent on this image, not waiting for the one before it.
        """
        with self._lock:
            self.answered += 1
            self._fault, self._old_in_a_row, self._idle = '', 0, False
            self._answers.append((time.monotonic(), latency, engine, busy - engine))
            self._forget()

    def _forget(self) -> None:
        for window in (self._answers, self._losses):
            while window and window[0][0] < time.monotonic() - WINDOW:
                window.popleft()

    def status(
        self, name: str, facts: Mapping[str, object], publishers: Sequence[str] = (), paused: bool = False
    ) -> DiagnosticStatus:
        """The diagnostic status.

        Args:
            name: of the status.
            facts: further key and value pairs, such as the engine.
            publishers: names of who publishes images.
            paused: whether `~/enable` has stopped the work.
        """
        with self._lock:
            self._forget()
            now = time.monotonic()
            milliseconds = np.array([times for _, *times in self._answers]).reshape(-1, 3) * 1e3
            latency, engine, overhead = milliseconds.T if milliseconds.size else np.zeros((3, 1))
            span = min(WINDOW, max(now - self._started, 1e-3))
            values = {
                'rate [Hz]': f'{len(self._answers) / span:.2f}',
                'latency p50 [ms]': f'{np.percentile(latency, 50):.2f}',
                'latency p95 [ms]': f'{np.percentile(latency, 95):.2f}',
                'engine p50 [ms]': f'{np.percentile(engine, 50):.2f}',
                'overhead p50 [ms]': f'{np.percentile(overhead, 50):.2f}',
                'images taken': self.taken,
                'images answered': self.answered,
                'dropped': self.dropped,
                'lost by the middleware': self.lost,
                'bad images': self.bad,
                'old images': self.old,
                'unheard': self.unheard,
                'paused': self.paused,
                **facts,
            }
            complaint = self._complaint(now, publishers)
            idle = self._idle
        if complaint:
            return status(name, DiagnosticStatus.WARN, complaint, values)
        well = 'paused' if paused else 'idle: nobody subscribes to any output' if idle else 'segmenting'
        return status(name, DiagnosticStatus.OK, well, values)

    def _complaint(self, now: float, publishers: Sequence[str]) -> str:
        """What is wrong, the worst alone; an empty text: nothing."""
        silent = now - self._last_image
        if silent > SILENCE:
            who = f'though published by {", ".join(publishers)}' if publishers else 'nobody publishes any'
            return f'no image for {silent:.0f} s, {who}'
        if self._fault:
            return self._fault
        if self._old_in_a_row >= OLD_IN_A_ROW:
            return (
                f'the last {self._old_in_a_row} images were older than max_image_age: do clocks and use_sim_time agree?'
            )
        if self.camera.complaint:
            return self.camera.complaint
        lost = sum(count for _, count in self._losses)
        return f'{lost} images were lost by the middleware in the last {WINDOW:.0f} s' if lost else ''


def status(name: str, level: bytes, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    """A DiagnosticStatus of our node."""
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id='minisegnet', values=pairs)
