"""Where each sampler has its codes from, as the protocol of the scores says it."""

from collections.abc import Mapping

from lit_ae.samplers import Normal, Sampler
from lit_ae.samplers.gibbs import Gibbs

UNFITTED: dict[type[Sampler], str] = {Normal: "N(0, I)", Gibbs: "drawn by the model"}


def code_sources(samplers: Mapping[str, Sampler]) -> str:
    """A text such as `normal: N(0, I); fitted to the mean codes of the training split: gaussian, mixture`."""
    said = [f"{name}: {UNFITTED[type(sampler)]}" for name, sampler in samplers.items() if type(sampler) in UNFITTED]
    for codes, of_draws in (("the mean codes", False), ("draws of the codes", True)):
        fitted = [n for n, s in samplers.items() if type(s) not in UNFITTED and s.of_draws == of_draws]
        if fitted:
            said.append(f"fitted to {codes} of the training split: {', '.join(fitted)}")
    return "; ".join(said)
