"""Networks: plain `nn.Module`s that are chosen in YAML."""

from lit_ae.nets.base import Decoder, DecoderFactory, Encoder, EncoderFactory, warn_if_narrow
from lit_ae.nets.mlp import MLPDecoder, MLPEncoder, default_decoder, default_encoder

__all__ = [
    "Decoder",
    "DecoderFactory",
    "Encoder",
    "EncoderFactory",
    "MLPDecoder",
    "MLPEncoder",
    "default_decoder",
    "default_encoder",
    "warn_if_narrow",
]
