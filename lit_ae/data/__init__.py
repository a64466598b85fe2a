"""Data sets, one file each; importing this module makes their bare class names known to the command line."""

from lit_ae.data.base import ArrayDataset, BaseDataModule, Batch, Shape, Splits
from lit_ae.data.digits import Digits
from lit_ae.data.fashion_mnist import FashionMNIST
from lit_ae.data.mnist import MNIST
from lit_ae.data.shapes import Shapes

__all__ = [
    "MNIST",
    "ArrayDataset",
    "BaseDataModule",
    "Batch",
    "Digits",
    "FashionMNIST",
    "Shape",
    "Shapes",
    "Splits",
]
