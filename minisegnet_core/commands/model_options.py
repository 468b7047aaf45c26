"""The options by which every command that runs a model selects it."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from minisegnet_core.ball import MINIMUM_CONFIDENCE
from minisegnet_core.inference.engines.base import DEVICES, PRECISIONS
from minisegnet_core.inference.segmenter import Segmenter, SegmenterConfig
from minisegnet_core.inference.selection import AUTO, ENGINE_MODULES


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``, ``--engine`` and the other options that :func:`segmenter_config` reads."""
    group = parser.add_argument_group('model')
    group.add_argument(
        '--model',
        default='',
        help='model file (.onnx, .safetensors, .ckpt) or name of a shipped model (default: the fastest one here)',
    )
    group.add_argument(
        '--engine', default=AUTO, choices=(AUTO, *ENGINE_MODULES), help='inference engine (default: auto)'
    )
    group.add_argument(
        '--network-size',
        default='native',
        help='size at which the network runs: native, half or WIDTHxHEIGHT; results refer to the received image '
        '(default: native)',
    )
    group.add_argument('--threads', type=int, default=0, help='CPU threads; 0 uses all cores but one (default: 0)')
    group.add_argument(
        '--precision',
        default=AUTO,
        choices=(AUTO, *PRECISIONS),
        help='numeric precision; auto selects int8 for an int8 file, bfloat16 on CPUs with native bfloat16, and '
        'float32 otherwise (default: auto)',
    )
    group.add_argument(
        '--device',
        default=AUTO,
        choices=DEVICES,
        help='device that the engine uses; auto selects an NVIDIA GPU or the CPU (default: auto)',
    )
    group.add_argument(
        '--ball-threshold',
        type=float,
        default=0.5,
        help='ball probability from which a pixel can belong to a ball, above 0 and at most 1 (default: 0.5)',
    )
    group.add_argument(
        '--ball-confidence',
        type=float,
        default=MINIMUM_CONFIDENCE,
        help='confidence from which a detection is a ball, 0 to 1; higher values give fewer false balls and more '
        f'missed ones (default: {MINIMUM_CONFIDENCE:g})',
    )


def segmenter_config(values: argparse.Namespace) -> SegmenterConfig:
    """Return the model configuration that parsed options of :func:`add_model_options` describe.

    Raises:
        ConfigurationError: a value is out of range.
    """
    return SegmenterConfig(**{field.name: getattr(values, field.name) for field in fields(SegmenterConfig)})


# Old names, until all importers have changed.
add_model_arguments = add_model_options


def segmenter_of(arguments: Any) -> Segmenter:
    """Open the model of :func:`segmenter_config`."""
    return Segmenter.from_config(segmenter_config(arguments))
