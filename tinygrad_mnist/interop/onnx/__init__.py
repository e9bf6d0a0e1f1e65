"""ONNX: models in a file that other programs run, and such files as models to train on."""

from .exporting import Exported, export_onnx

__all__ = ["Exported", "export_onnx"]
