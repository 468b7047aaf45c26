"""The benchmark: the keys of its JSON, its arithmetic, and what it reports of cases that could not be measured."""

import json
import math

import numpy as np
import pytest

pytest.importorskip('torch', reason='the model of these tests is made with PyTorch')
pytest.importorskip('onnx', reason='export needs onnx')
pytest.importorskip('onnxruntime', reason='the rows of these tests are of ONNX Runtime')

from minisegnet_core.benchmark import jitter, machine, plan, runner
from minisegnet_core.benchmark import report as benchmark_report
from minisegnet_core.benchmark.runner import add_accuracy
from minisegnet_core.classes import SOCCER
from minisegnet_core.commands import benchmark as benchmark_command
from minisegnet_core.errors import ConfigurationError, ModelError
from minisegnet_core.processor import Processor
from support.exported import exported

KEYS = {
    'engine': str, 'precision': str, 'size': str, 'latency_ms_p50': float, 'latency_ms_p95': float,
    'latency_ms_p99': float, 'throughput_fps': float, 'gflops': float, 'start_ms': float, 'rss_mb': float,
    'label_agreement': float,
}  # fmt: skip
"""Keys of a row that other programs read, with their types."""


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    """Run the command on two tiny cases, with every output; return its JSON and the folder."""
    folder = tmp_path_factory.mktemp('benchmark')
    arguments = ['--model', str(exported()[1]), '--engines', 'onnxruntime', '--precisions', 'float32,float16',
                 '--sizes', '64x64', '--duration', '0.05', '--count', '1', '--threads', '1',
                 '--json', str(folder / 'b.json'), '--plot', str(folder / 'b.png')]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, 'peak_gflops', lambda threads: {'float32': 100.0})
        assert benchmark_command.main(arguments, 'benchmark') == 0
    return json.loads((folder / 'b.json').read_text()), folder


def test_the_json_has_the_documented_keys(report):
    content, folder = report
    row = next(row for row in content['results'] if 'error' not in row)
    assert {key: type(row[key]) for key in KEYS} == KEYS
    assert (row['engine'], row['precision'], row['size']) == ('onnxruntime', 'float32', '64x64')
    assert row['label_agreement'] == 1.0
    assert row['iou_drop'] == 0.0
    assert 0 < row['latency_ms_p50'] <= row['latency_ms_p95'] <= row['latency_ms_p99']
    assert row['gflops'] == pytest.approx(machine.network_gflop(64, 64) / row['latency_ms_p50'] * 1e3)
    assert 20 < row['rss_mb'] < 2000
    assert content['machine']['threads'] == 1
    assert (folder / 'b.png').read_bytes().startswith(b'\x89PNG')


def test_a_case_that_could_not_be_measured_has_a_reason(report):
    content, _ = report
    failed = [row for row in content['results'] if 'error' in row]
    if not failed:
        pytest.skip('TensorRT is installed')
    assert failed[0]['precision'] == 'float16'
    assert 'TensorRT' in failed[0]['error']
    text = benchmark_report.table(content['machine'], content['results'])
    assert f'not measured: onnxruntime float16 64x64: {failed[0]["error"]}' in text


def test_the_operations_are_those_of_the_network_of_the_paper():
    assert machine.network_gflop(640, 480) == pytest.approx(27.0, abs=0.05)
    assert machine.network_gflop(320, 240) == pytest.approx(machine.network_gflop(640, 480) / 4, rel=0.02)


@pytest.mark.parametrize('width_mult', [1, 0.75, 0.5])
def test_the_operations_agree_with_the_counter_of_torch(width_mult):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from minisegnet_core.model import MiniSegNet

    counter = FlopCounterMode(display=False)
    with counter, torch.device('meta'):
        MiniSegNet(4, width_mult).eval()(torch.empty(1, 3, 131, 99))
    assert machine.network_gflop(99, 131, width_mult=width_mult) == pytest.approx(
        counter.get_total_flops() / 1e9, rel=0.03
    )


def test_the_cases_are_all_combinations_that_can_run():
    checkpoint, onnx = exported()
    cases = plan.plan_cases(
        [onnx, checkpoint], ['onnxruntime', 'torch'], ['float32', 'int8', 'bfloat16'], [(64, 64), (96, 64)]
    )
    kinds = [(case.engine, case.precision, case.model) for case in cases if case.size == (64, 64)]
    assert kinds == [('onnxruntime', 'float32', onnx), ('torch', 'float32', checkpoint),
                     ('torch', 'bfloat16', checkpoint)]  # fmt: skip
    assert len(cases) == 2 * len(kinds)
    with pytest.raises(ModelError, match='nothing to measure'):
        plan.plan_cases([onnx], ['torch'], ['float32'], [(64, 64)])


@pytest.mark.parametrize(
    ('features', 'engine', 'precision', 'emulated'),
    [
        ({'avx2'}, 'torch', 'bfloat16', True),
        ({'avx2'}, 'torch', 'float16', True),
        ({'avx2'}, 'torch', 'float32', False),
        ({'amx_bf16'}, 'torch', 'bfloat16', False),
        ({'avx2'}, 'openvino', 'bfloat16', False),  # it refuses, and the row has that error
    ],
)
def test_only_torch_emulates_precisions_that_the_cpu_lacks(monkeypatch, features, engine, precision, emulated):
    monkeypatch.setattr(plan, 'processor', lambda: Processor('a CPU', 2, frozenset(features)))
    assert plan.Case(engine, exported()[0], precision, (64, 64)).is_emulated is emulated


def test_agreement_and_drop_are_those_computed_by_hand():
    truth = np.zeros((8, 16), np.uint8)
    truth[:, 8:] = 3
    pairs = [(np.zeros((8, 16, 3), np.uint8), truth)]
    right = np.array([[[0, 0, 3, 3], [0, 0, 3, 3]]], np.uint8)
    rows = [{'engine': 'openvino', 'precision': 'int8', 'size': '16x8'},
            {'engine': 'torch', 'precision': 'float32', 'size': '16x8'}]  # fmt: skip
    add_accuracy(rows, {0: np.zeros_like(right), 1: right}, pairs, SOCCER)
    assert rows[0]['reference'] == 'torch float32'
    assert (rows[0]['label_agreement'], rows[0]['mean_iou'], rows[0]['iou_drop']) == (0.5, 0.25, 0.75)
    assert (rows[1]['label_agreement'], rows[1]['iou_drop']) == (1.0, 0.0)


def test_the_loop_records_the_lateness_of_each_period():
    late = jitter.lateness(0.1, rate=200)
    assert len(late) == 20
    assert (late >= 0).all()
    assert math.isfinite(late.max())


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--engines', 'tensorflow'], "--engines is 'tensorflow', which is unknown"),
        (['--precisions', 'float8'], "--precisions is 'float8', which is unknown"),
        (['--sizes', 'half'], 'must be WIDTHxHEIGHT'),
        (['--sizes', '640'], 'must be native, half, or WIDTHxHEIGHT'),
        (['--duration', '0'], '--duration is 0; it must be above 0'),
    ],
)
def test_a_wrong_option_is_named(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        benchmark_command.main(arguments, 'benchmark')
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_model_is_named(capsys):
    assert benchmark_command.main(['--model', 'gone.onnx'], 'benchmark') == 2
    assert 'no model file gone.onnx' in capsys.readouterr().err


def test_a_plot_without_matplotlib_names_the_package(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
    with pytest.raises(ConfigurationError, match='pip install matplotlib'):
        benchmark_report.plot({}, [], tmp_path / 'x.png')


def test_the_peak_is_the_rate_of_the_faster_layer(monkeypatch):
    pytest.importorskip('openvino')
    rates = {2: 30.0, 4: 50.0}
    seen = []

    def rate(precision, threads, gflop, shape, weights):
        seen.append((precision, gflop))
        return rates[len(shape)] * (2 if precision == 'int8' else 1)

    monkeypatch.setattr(machine, 'layer_gflops', rate)
    peak = machine.peak_gflops(1, 64)
    assert peak['float32'] == 50.0
    assert peak['int8'] == 100.0
    assert dict(seen[:1]) == {'float32': pytest.approx(2 * 64**3 / 1e9)}
    assert seen[1][1] == pytest.approx(2 * 9 * 512 * 512 * 32 * 32 / 1e9)
    monkeypatch.undo()
    assert all(value > 0 for value in machine.peak_gflops(1, 64).values())
