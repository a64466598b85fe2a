"""Networks: plain `nn.Module`s that are chosen in YAML."""

from lit_ae.nets.base import Decoder, DecoderFactory, Encoder, EncoderFactory
from lit_ae.nets.mlp import MLPDecoder, MLPEncoder

__all__ = ["Decoder", "DecoderFactory", "Encoder", "EncoderFactory", "MLPDecoder", "MLPEncoder"]
