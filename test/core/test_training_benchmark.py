"""The benchmark of training runs: both variants in processes of their own, and the memory over epochs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('torch', reason='training needs PyTorch')

ROOT = Path(__file__).resolve().parents[2]


def benchmark(*options) -> dict:
    command = [sys.executable, str(ROOT / 'benchmarks' / 'benchmark_training.py'), '--quick', '--json', *options]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.slow
def test_both_variants_run_in_each_stage():
    rows = benchmark()['stages']
    assert [(row['stage'], row['batch_size']) for row in rows] == [('stage1', 2), ('stage2', 2), ('stage3', 2)]
    for row in rows:
        assert row['ratio_wall'] == pytest.approx(row['minisegnet']['wall'] / row['plain']['wall'])
        assert row['ratio_cpu'] == pytest.approx(row['minisegnet']['cpu'] / row['plain']['cpu'])
        assert row['minisegnet_from_memory']['cpu'] > 0


@pytest.mark.slow
def test_memory_is_reported_after_each_epoch():
    memory = benchmark('--memory')['memory']
    assert len(memory['after_epoch_mb']) == 2
    assert memory['peak_mb'] >= max(memory['after_epoch_mb']) > 100
