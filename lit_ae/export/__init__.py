"""Trained models in the formats of other tools: ONNX, torch.export, safetensors with a model card, MLflow."""

from lit_ae.export.pretrained import from_pretrained, save_pretrained

__all__ = ["from_pretrained", "save_pretrained"]
