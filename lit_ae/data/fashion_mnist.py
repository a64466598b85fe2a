"""Fashion-MNIST."""

from lit_ae.data.torchvision_images import TorchvisionImages


class FashionMNIST(TorchvisionImages):
    """Photographs of clothes in MNIST's format (Xiao, Rasul & Vollgraf 2017): train 55,000, val 5,000, test 10,000."""

    name = "fashion_mnist"
    class_names = (
        "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "trainer", "bag", "boot",
    )  # fmt: skip
    torchvision_name = "FashionMNIST"
    unpacked_md5 = {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    }
