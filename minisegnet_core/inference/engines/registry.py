"""The registry of inference engines.

To add an engine, write a module in this package with a class that satisfies
:class:`~minisegnet_core.inference.engines.base.Engine`, and add an entry to :data:`ENGINES`. If a shipped model file
runs fastest with it on some machines, add it to :func:`~minisegnet_core.inference.selection.shipped_order` too.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from minisegnet_core.inference.engines.base import Device, Engine, Precision


@dataclass(frozen=True)
class EngineEntry:
    """How to open one engine. Nothing of it is imported before :meth:`open`.

    Attributes:
        name: name in options, parameters and reports.
        package: Python package that the engine needs, as it is imported and installed.
        opener: ``module:callable``, called with path, threads, precision and device; it returns the open engine.
        suffixes: suffixes of the model files that the engine reads.
        precisions: precisions that the engine supports on some device.
    """

    name: str
    package: str
    opener: str
    suffixes: tuple[str, ...]
    precisions: tuple[Precision, ...]

    def is_installed(self) -> bool:
        """Return whether the engine's package is installed."""
        return find_spec(self.package) is not None

    def open(self, path: Path, threads: int, precision: Precision | None, device: Device) -> Engine:
        """Open a model file.

        Args:
            path: an existing file with one of the engine's suffixes.
            threads: CPU threads, at least 1.
            precision: None selects the fastest precision.
            device: requested device.

        Raises:
            ImportError: the engine's package is missing or broken.
            ModelError: the file is damaged, or the engine cannot run it with these settings here.
        """
        module, _, name = self.opener.partition(':')
        return cast(Engine, getattr(import_module(module), name)(path, threads, precision, device))


ENGINES: dict[str, EngineEntry] = {
    entry.name: entry
    for entry in (
        EngineEntry(
            'openvino',
            'openvino',
            'minisegnet_core.inference.engines.openvino:OpenVinoEngine',
            ('.onnx',),
            ('float32', 'bfloat16', 'float16', 'int8'),
        ),
        EngineEntry(
            'onnxruntime',
            'onnxruntime',
            'minisegnet_core.inference.engines.onnxruntime:OnnxRuntimeEngine',
            ('.onnx',),
            ('float32', 'float16', 'int8'),
        ),
        EngineEntry(
            'torch',
            'torch',
            'minisegnet_core.inference.engines.torch:open_checkpoint',
            ('.safetensors', '.ckpt'),
            ('float32', 'bfloat16', 'float16'),
        ),
    )
}
"""All engines by name, the one that is usually fastest first. ``auto`` tries them in this order."""

MODEL_SUFFIXES = tuple(dict.fromkeys(suffix for entry in ENGINES.values() for suffix in entry.suffixes))
"""Suffixes of all model files that some engine reads."""
