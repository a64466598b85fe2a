"""Seeds of streams of random numbers that belong to one seed."""

GOLDEN = 0x9E3779B1  # 2³² divided by the golden ratio: its multiples lie far apart


def stream_seed(seed: int, number: int) -> int:
    """The seed, below 2³², of stream `number` of those that belong to `seed`; of seed 0 it is the number itself.

    PyTorch's generator on the CPU takes the low 32 bits of a seed alone: more than these would be lost without a word.
    """
    return (number + seed * GOLDEN) % 2**32
