"""Densities over codes, through which a model without a prior is sampled."""

from lit_ae.samplers.base import Sampler, load
from lit_ae.samplers.flow import Flow
from lit_ae.samplers.flow_matching import FlowMatching
from lit_ae.samplers.gaussian import Gaussian
from lit_ae.samplers.mixture import Mixture
from lit_ae.samplers.normal import Normal

__all__ = ["Flow", "FlowMatching", "Gaussian", "Mixture", "Normal", "Sampler", "load"]
