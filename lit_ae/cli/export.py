"""`lit-ae export`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from lit_ae.cli.parser import Parser


def export(argv: Sequence[str]) -> int:
    """Write a trained model in another tool's format; returns the exit status."""
    args = _parser().parse_args(argv)
    from lit_ae.export.export import export as written

    print(written(args.run, args.format, args.part, args.output, args.licence))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("lit-ae export", description="Write a trained model in the format of another tool.")
    parser.add_argument("run", metavar="RUN", help="id of a run, or path of a checkpoint")
    parser.add_argument(
        "--format",
        required=True,
        choices=("onnx", "torch", "safetensors", "mlflow"),
        help="ONNX, a torch.export program, weights with settings and a model card (the layout of the Hugging Face "
        "hub), or an MLflow model",
    )
    parser.add_argument(
        "--part",
        choices=("encoder", "decoder", "all"),
        help="what is exported; all: codes, reconstruction and anomaly score (default: all, of a GAN its generator)",
    )
    parser.add_argument("--output", type=Path, help="file or folder to write, which must not exist")
    parser.add_argument("--licence", help="of the weights, for the model card of --format safetensors (default: mit)")
    return parser
