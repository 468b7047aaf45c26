"""The node as its own process, as a robot runs it: started with remappings and parameters, watched, stopped."""

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
    """The node did not start, died, or answered nothing."""


class NodeProcess:
    """Starts the node and collects its log.

    Args:
        domain: ROS domain.
        remaps: names of ours by names of the node's: ``{'image': '/camera/image_raw'}``.
        parameters: values by name; an empty text is left out, as it means the default.
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
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop the node in good order
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._log.append(line.rstrip())

    @property
    def log(self) -> list[str]:
        """The last lines of its log."""
        return list(self._log)

    def check(self) -> None:
        """Raises NodeError with its last words if it died or could not configure itself."""
        code = self._process.poll()
        if code is not None:
            self._reader.join(timeout=2)
            raise NodeError(f'the node ended with exit code {code}; it said last:\n  {self._tail()}')
        failure = next((line for line in self.log if 'cannot configure' in line), None)
        if failure:
            raise NodeError(f'the node cannot start: {failure.partition("cannot configure: ")[2]}')

    def _tail(self) -> str:
        return '\n  '.join(self.log[-TAIL:]) or '(nothing)'

    def stop(self) -> int:
        """Ends it in good order, by force after 10 s; its exit code."""
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
    """Text as YAML text, so that a model called `1` or `a: b` stays one."""
    return "'" + text.replace("'", "''") + "'"
