"""Processors: the instructions that matter for the choice of an engine."""

import pytest

from minisegnet_core.processor import Processor


@pytest.mark.parametrize(
    ('features', 'int8', 'floats', 'bfloat16'),
    [
        ({'avx', 'avx2'}, 'AVX2', 'AVX2', False),
        ({'avx2', 'avx512f', 'avx512_vnni', 'amx_int8', 'amx_bf16'}, 'AMX', 'AVX-512', True),
        ({'sse4_1'}, '', '', False),
        ({'asimd', 'asimddp'}, 'ARM dot product', 'NEON', False),
    ],
)
def test_the_best_instructions_of_a_processor_are_recognized(features, int8, floats, bfloat16):
    machine = Processor('a CPU', 2, frozenset(features))
    assert machine.int8_instructions == int8
    assert machine.float_instructions == floats
    assert machine.native_bfloat16 is bfloat16
