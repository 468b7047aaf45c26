"""The options by which every command that runs a model selects it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import fields

from minisegnet_core.commands.parser import choice, integer, number
from minisegnet_core.inference.engines.base import AUTO, DEVICES, PRECISIONS
from minisegnet_core.inference.engines.registry import ENGINES, MODEL_SUFFIXES
from minisegnet_core.inference.segmenter import SegmenterConfig

DEFAULTS = SegmenterConfig()


def add_model_options(parser: ArgumentParser) -> None:
    """Add ``--model``, ``--engine`` and the other options that :func:`segmenter_config` reads."""
    group = parser.add_argument_group('model')
    group.add_argument(
        '--model',
        default=DEFAULTS.model,
        metavar='FILE',
        help=f'model file ({", ".join(MODEL_SUFFIXES)}) or name of a shipped model (default: the fastest here)',
    )
    group.add_argument('--engine', default=DEFAULTS.engine, **choice(AUTO, *ENGINES), help='inference engine')
    group.add_argument(
        '--network-size',
        default=DEFAULTS.network_size,
        metavar='SIZE',
        help='size at which the network runs: native, half or WIDTHxHEIGHT; results refer to the received image',
    )
    group.add_argument(
        '--threads',
        type=integer(0),
        default=DEFAULTS.threads,
        metavar='N',
        help='CPU threads; 0 uses all cores but one',
    )
    group.add_argument(
        '--precision',
        default=DEFAULTS.precision,
        **choice(AUTO, *PRECISIONS),
        help='numeric precision; auto selects int8 for an int8 file, bfloat16 on CPUs with native bfloat16, float16 on '
        'GPUs, and float32 otherwise',
    )
    group.add_argument(
        '--device',
        default=DEFAULTS.device,
        **choice(*DEVICES),
        help='device of the engine; auto selects an NVIDIA GPU if the engine supports it, and the CPU otherwise',
    )
    group.add_argument(
        '--ball-threshold',
        type=number(above=0, maximum=1),
        default=DEFAULTS.ball_threshold,
        metavar='P',
        help='ball probability from which a pixel can belong to a ball, above 0 and at most 1',
    )
    group.add_argument(
        '--ball-confidence',
        type=number(0, 1),
        default=DEFAULTS.ball_confidence,
        metavar='C',
        help='confidence from which a detection is a ball, 0 to 1; a higher value gives fewer false balls and more '
        'missed ones',
    )


def segmenter_config(values: Namespace) -> SegmenterConfig:
    """Return the model configuration that the parsed options of :func:`add_model_options` describe.

    Raises:
        ConfigurationError: a value is unknown or out of range.
    """
    return SegmenterConfig(**{field.name: getattr(values, field.name) for field in fields(SegmenterConfig)})
