"""Densities over codes, from which models without a prior of their own are sampled."""

from lit_ae.samplers.base import Sampler, load
from lit_ae.samplers.fitted_gaussian import FittedGaussian
from lit_ae.samplers.flow import Flow
from lit_ae.samplers.flow_matching import FlowMatching
from lit_ae.samplers.mixture import Mixture
from lit_ae.samplers.normal import Normal
from lit_ae.samplers.two_stage import TwoStageVAE

__all__ = ["FittedGaussian", "Flow", "FlowMatching", "Mixture", "Normal", "Sampler", "TwoStageVAE", "load"]
