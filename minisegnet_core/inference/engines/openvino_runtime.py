"""OpenVINO's runtime without its model converter.

``import openvino`` imports the converter too, with it a telemetry package that sends a message to its maker's
statistics at every import unless it was told not to, and leaves files in ``~/intel``. A robot wants none of it, and
nothing here converts models: without it the import takes a quarter of the CPU time and 16 MB less memory. Who needs the
converter in the same process still has it as ``openvino.tools.ovc.convert_model``.
"""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType
from typing import Any

CONVERTER = 'openvino.tools.ovc'


def import_openvino() -> ModuleType:
    """The package ``openvino``; as it is where somebody else imported it before.

    Raises:
        ImportError: it is not installed, or is broken.
    """
    withheld = 'openvino' not in sys.modules and CONVERTER not in sys.modules
    if withheld:
        sys.modules[CONVERTER] = None  # type: ignore[assignment]  # Python's way to say: this one is not there
    try:
        import openvino  # noqa: F401
    finally:
        if withheld:
            sys.modules.pop(CONVERTER, None)
    return sys.modules['openvino']


@cache
def openvino_core() -> Any:
    """The one ``openvino.Core`` of this process; it is never given back.

    Each core's CPU plugin gives the thread that loads it a stack for signal handlers, and frees it when it goes. Where
    several cores go in another order than last made, first gone, or in another thread, a thread is left with a stack
    that is freed. The next signal that Python handles there (Ctrl-C; the end of a child once a DataLoader has had
    workers) then ends the process without a word, or writes into what lies there now. OpenVINO wants one core, too.

    Raises:
        ImportError: see :func:`import_openvino`.
    """
    return import_openvino().Core()
