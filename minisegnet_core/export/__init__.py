"""Export of checkpoints to ONNX files with float or int8 convolutions."""

from minisegnet_core.export.job import Int8Job, OnnxJob, OnnxResult

__all__ = ['Int8Job', 'OnnxJob', 'OnnxResult']
