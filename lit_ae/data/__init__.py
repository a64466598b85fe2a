"""Data sets, one file each. Importing this package makes their class names known to the command line."""

from lit_ae.data.array import Array
from lit_ae.data.base import BaseDataModule
from lit_ae.data.cifar10 import CIFAR10
from lit_ae.data.containers import ArrayDataset, Batch, Shape, Splits
from lit_ae.data.digits import Digits
from lit_ae.data.fashion_mnist import FashionMNIST
from lit_ae.data.frey_faces import FreyFaces
from lit_ae.data.genes import Genes
from lit_ae.data.mnist import MNIST
from lit_ae.data.one_hot import OneHot
from lit_ae.data.photo_patches import PhotoPatches
from lit_ae.data.shapes import Shapes

__all__ = [
    "CIFAR10",
    "MNIST",
    "Array",
    "ArrayDataset",
    "BaseDataModule",
    "Batch",
    "Digits",
    "FashionMNIST",
    "FreyFaces",
    "Genes",
    "OneHot",
    "PhotoPatches",
    "Shape",
    "Shapes",
    "Splits",
]
