"""MNIST."""

from lit_ae.data.torchvision_images import TorchvisionImages


class MNIST(TorchvisionImages):
    """Handwritten digits (LeCun et al. 1998): train 55,000, val 5,000, test 10,000."""

    name = "mnist"
    torchvision_name = "MNIST"
    unpacked_md5 = {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }
