"""What a benchmark measures: the combinations of engine, model, precision and size that this machine can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minisegnet_core.errors import ConfigurationError, ModelError
from minisegnet_core.inference.engines.base import PRECISIONS, ImageSize, Precision
from minisegnet_core.inference.engines.onnx_metadata import is_int8
from minisegnet_core.inference.engines.registry import ENGINES
from minisegnet_core.inference.segmenter import SegmenterConfig
from minisegnet_core.inference.selection import readers_of
from minisegnet_core.processor import processor


@dataclass(frozen=True)
class BenchmarkConfig:
    """Settings of a benchmark.

    Attributes:
        models: model files or names of shipped models; empty for all shipped models.
        engines: names of engines.
        precisions: precisions to measure. None measures all that this CPU computes natively; named precisions are
            measured even if PyTorch has to emulate them, which is very slow.
        sizes: (width, height) of the images, in pixels.
        threads: CPU threads; 0 uses all available cores but one.
        device: requested device of every engine.
        duration: seconds of each measurement: latency, throughput, jitter.
        streams: engines of one thread each that run at the same time to measure throughput. 0 measures none, None uses
            one stream per thread.
        images: data set or folder of images to run on; None renders scenes.
        count: number of images.
        jitter: whether to measure how late a 500 Hz loop wakes up beside the fastest case.

    Raises:
        ConfigurationError: a number is out of range.
    """

    models: tuple[str, ...] = ()
    engines: tuple[str, ...] = tuple(ENGINES)
    precisions: tuple[Precision, ...] | None = None
    sizes: tuple[ImageSize, ...] = ((640, 480),)
    threads: int = 0
    device: str = 'auto'
    duration: float = 5.0
    streams: int | None = None
    images: Path | None = None
    count: int = 8
    jitter: bool = False

    def __post_init__(self) -> None:
        if self.threads < 0 or self.duration <= 0 or self.count < 1:
            raise ConfigurationError('threads must be 0 or more, duration above 0, and count at least 1')


@dataclass(frozen=True)
class Case:
    """One combination to measure, which becomes a row of the report."""

    engine: str
    model: Path
    precision: Precision
    size: ImageSize

    @property
    def size_text(self) -> str:
        """The size as ``WIDTHxHEIGHT``."""
        return f'{self.size[0]}x{self.size[1]}'

    @property
    def is_emulated(self) -> bool:
        """Whether this CPU would compute the case in another precision with conversions between.

        Only PyTorch emulates precisions; OpenVINO and ONNX Runtime reject them.
        """
        if self.engine != 'torch':
            return False
        native = {'float32': True, 'bfloat16': processor().native_bfloat16}
        return not native.get(self.precision, 'avx512_fp16' in processor().features)

    def segmenter_config(self, threads: int, device: str, network_size: str = 'native') -> SegmenterConfig:
        """Return the configuration of the segmenter that is measured."""
        return SegmenterConfig(
            str(self.model),
            engine=self.engine,
            network_size=network_size,
            threads=threads,
            precision=self.precision,
            device=device,
        )


def plan_cases(
    models: Sequence[Path],
    engines: Sequence[str] = tuple(ENGINES),
    precisions: Sequence[Precision] = PRECISIONS,
    sizes: Sequence[ImageSize] = BenchmarkConfig.sizes,
) -> tuple[Case, ...]:
    """Return every combination that can run: the engine is installed, reads the file and supports the precision.

    Raises:
        ModelError: no combination can run.
    """
    cases = []
    for size in sizes:
        for engine in engines:
            if not ENGINES[engine].is_installed():
                continue
            for model in models:
                if engine not in readers_of(model):
                    continue
                quantized = model.suffix == '.onnx' and is_int8(model)
                for precision in ENGINES[engine].precisions:
                    if precision in precisions and (precision == 'int8') == quantized:
                        cases.append(Case(engine, model, precision, size))
    if not cases:
        names = ', '.join(model.name for model in models)
        raise ModelError(
            f'nothing to measure: no installed engine of {", ".join(engines)} runs {names} in {", ".join(precisions)}'
        )
    return tuple(cases)
