"""ONNX: models in a file that other programs run, and such files as models to train on."""

from .exporting import Exported, export_onnx
from .importing import OnnxModel, import_onnx

__all__ = ["Exported", "OnnxModel", "export_onnx", "import_onnx"]
