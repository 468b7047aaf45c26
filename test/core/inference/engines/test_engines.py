"""Engines: requested precisions are real, missing devices are reported, signals still work, metadata is readable."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('torch', reason='the models of these tests are made with PyTorch')
pytest.importorskip('onnx', reason='export needs onnx')

from minisegnet_core.classes import SOCCER
from minisegnet_core.errors import ModelError
from minisegnet_core.inference.engines.onnx_metadata import classes_of, read_metadata
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_core.processor import has_nvidia_gpu, processor
from support.exported import exported, random_image

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize('engine', ['openvino', 'onnxruntime', 'torch'])
def test_float32_is_float32_in_every_engine(engine):
    pytest.importorskip(engine)
    checkpoint, onnx = exported()
    segmenter = Segmenter(checkpoint if engine == 'torch' else onnx, engine=engine, precision='float32', device='cpu')
    segmenter.run(random_image(96, 64))
    assert (segmenter.precision, segmenter.device) == ('float32', 'CPU')
    if engine == 'openvino':
        kernels = segmenter.loaded_engine.kernels()
        assert len(kernels) == 27
        assert not any('bf16' in kernel or 'f16' in kernel for kernel in kernels)


def test_openvino_does_not_claim_a_precision_that_the_cpu_lacks():
    pytest.importorskip('openvino')
    if processor().native_bfloat16:
        pytest.skip('this CPU computes in bfloat16')
    with pytest.raises(ModelError, match='computes in float32 on this CPU although bfloat16 was requested'):
        Segmenter(exported()[1], engine='openvino', precision='bfloat16').run(random_image(96, 64))


def test_onnxruntime_refuses_precisions_without_kernels():
    pytest.importorskip('onnxruntime')
    with pytest.raises(ModelError, match='no bfloat16'):
        Segmenter(exported()[1], engine='onnxruntime', precision='bfloat16')
    with pytest.raises(ModelError, match='TensorRT'):
        Segmenter(exported()[1], engine='onnxruntime', precision='float16', device='cpu')


def test_torch_computes_in_bfloat16_on_request():
    import torch

    checkpoint, _ = exported()
    image = random_image(96, 64)
    exact = Segmenter(checkpoint, engine='torch', precision='float32', device='cpu').run(image)
    segmenter = Segmenter(checkpoint, engine='torch', precision='bfloat16', device='cpu')
    assert segmenter.precision == 'bfloat16'
    assert next(segmenter.loaded_engine.network.parameters()).dtype == torch.bfloat16
    assert (segmenter.run(image).label_image == exact.label_image).mean() > 0.9


@pytest.mark.parametrize('engine', ['openvino', 'onnxruntime', 'torch'])
def test_a_missing_gpu_falls_back_to_the_cpu_with_a_note(engine):
    pytest.importorskip(engine)
    if has_nvidia_gpu():
        pytest.skip('there is a GPU')
    checkpoint, onnx = exported()
    segmenter = Segmenter(checkpoint if engine == 'torch' else onnx, engine=engine, device='gpu')
    if segmenter.device == 'GPU':
        pytest.skip('there is a GPU for OpenVINO')
    assert segmenter.device == 'CPU'
    assert 'it runs on the CPU' in segmenter.notes[-1]
    assert segmenter.run(random_image(96, 64)).label_image.shape == (16, 24)


def test_tensorrt_and_cuda_precede_the_cpu_and_float32_disables_shorter_formats():
    pytest.importorskip('onnxruntime')
    from minisegnet_core.inference.engines.onnxruntime import wanted_providers

    every = ['CPUExecutionProvider', 'CUDAExecutionProvider', 'TensorrtExecutionProvider']
    providers = wanted_providers(every, 'auto', 'float32')
    assert [name for name, _ in providers] == every[::-1]
    assert dict(providers)['TensorrtExecutionProvider']['trt_fp16_enable'] == '0'
    assert dict(providers)['CUDAExecutionProvider']['use_tf32'] == '0'
    assert dict(wanted_providers(every, 'gpu', None))['TensorrtExecutionProvider']['trt_fp16_enable'] == '1'
    assert wanted_providers(every, 'cpu', None) == [('CPUExecutionProvider', {})]


def test_metadata_is_read_without_the_onnx_package(files):
    import onnx

    expected = {p.key: p.value for p in onnx.load(files[1]).metadata_props}
    assert read_metadata(files[1]) == expected
    assert classes_of(files[1]).names == (*SOCCER.names, 'robot')


def test_signals_are_handled_after_engines_were_released(files):
    """With one OpenVINO core per engine, the stack for signal handlers was freed and the next signal was a crash."""
    pytest.importorskip('openvino')
    open_one = f'segmenter = Segmenter({str(files[1])!r}, engine="openvino")\n'
    code = (
        'import os, signal\n'
        'from minisegnet_core.inference.segmenter import Segmenter\n'
        'signal.signal(signal.SIGUSR1, lambda *_: print("handled"))\n'
        f'{open_one}{open_one}del segmenter\n'  # the first is released after the second was opened
        'os.kill(os.getpid(), signal.SIGUSR1)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, 'handled'), done.stderr
