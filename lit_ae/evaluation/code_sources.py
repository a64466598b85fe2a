"""Where each sampler has its codes from, as the protocol of the scores says it."""

from collections.abc import Mapping

from lit_ae.samplers import Normal, Sampler
from lit_ae.samplers.gibbs import Gibbs

UNFITTED: dict[type[Sampler], str] = {Normal: "N(0, I)", Gibbs: "drawn by the model"}
FITTED = "fitted to the mean codes of the training split"


def code_sources(samplers: Mapping[str, Sampler]) -> str:
    """A text such as `normal: N(0, I); fitted to the mean codes of the training split: gaussian, mixture`."""
    said = [f"{name}: {UNFITTED[type(sampler)]}" for name, sampler in samplers.items() if type(sampler) in UNFITTED]
    fitted = [name for name, sampler in samplers.items() if type(sampler) not in UNFITTED]
    return "; ".join([*said, *([f"{FITTED}: {', '.join(fitted)}"] if fitted else [])])
