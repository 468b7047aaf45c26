"""Models shared by the tests of segmentation and of the engines."""

from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def files(tmp_path_factory) -> tuple[Path, Path]:
    """Return a checkpoint with random weights, five classes and unusual preprocessing, and its export."""
    pytest.importorskip('onnx', reason='export needs onnx')
    torch = pytest.importorskip('torch', reason='the model is made with PyTorch')
    from minisegnet_core.checkpoint import ModelRecord, save_checkpoint
    from minisegnet_core.classes import SOCCER, ClassSet, SegmentationClass
    from minisegnet_core.export.onnx import export_onnx
    from minisegnet_core.model import MiniSegNet
    from minisegnet_core.preprocessing import Preprocessing
    from support.exported import separate_labels

    classes = ClassSet((*SOCCER, SegmentationClass('robot', (9, 9, 9))))
    folder = tmp_path_factory.mktemp('model')
    torch.manual_seed(3)
    model = MiniSegNet(len(classes)).eval()
    separate_labels(model)
    record = ModelRecord(classes, Preprocessing((0.4, 0.5, 0.6), (0.2, 0.25, 0.3)), {'who': 'test'})
    save_checkpoint(folder / 'm.safetensors', model, record)
    export_onnx(folder / 'm.safetensors', folder / 'm.onnx')
    return folder / 'm.safetensors', folder / 'm.onnx'
