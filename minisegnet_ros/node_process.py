"""The node in a process of its own, as on a robot: started with remappings and parameters, watched, stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from types import TracebackType

from minisegnet_core.errors import MinisegnetError
from minisegnet_ros.environment import private_environment

TAIL = 8
"""Lines of the node's log that an error quotes."""


class NodeError(MinisegnetError):
    """The node did not start, ended, or answered nothing."""


class NodeProcess:
    """Starts the node and collects its log; a context manager that stops it.

    Args:
        domain: ROS domain.
        remaps: topic names by the node's own names, such as ``{'image': '/camera/image_raw'}``.
        parameters: values by name; an empty string is left out, because it means the default.
    """

    def __init__(self, domain: int, remaps: Mapping[str, str], parameters: Mapping[str, object]) -> None:
        arguments = [item for name, target in remaps.items() for item in ('-r', f'{name}:={target}')]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if text:
                arguments += ['-p', f'{name}:={_quoted(text) if isinstance(value, str) else text}']
        self._log: deque[str] = deque(maxlen=200)
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'minisegnet_ros.commands.segment', '--ros-args', *arguments],
            env=private_environment(domain),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            start_new_session=True,  # Ctrl-C reaches this process only, which then stops the node
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._log.append(line.rstrip())

    @property
    def log_tail(self) -> str:
        """The last lines of the node's log, indented."""
        return '\n  '.join(list(self._log)[-TAIL:]) or '(nothing)'

    def check(self) -> None:
        """Raise NodeError, with the last lines of the log, if the node ended."""
        code = self._process.poll()
        if code is not None:
            self._reader.join(timeout=2)
            raise NodeError(f'the node ended with exit code {code}; the end of its log:\n  {self.log_tail}')

    def stop(self) -> int:
        """Stop the node with SIGINT, or kill it after 10 s; return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        code = self._process.wait()
        self._reader.join(timeout=2)
        return code

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _quoted(text: str) -> str:
    """Return a text as YAML text, so that a model named `1` or `a: b` stays a text."""
    return "'" + text.replace("'", "''") + "'"
