"""Looking inside a network: what it computes, what its weights are, what it looks at, and whether it is healthy.

Every function gives an object with the numbers, and with ``figure``, a matplotlib figure (extra `plot`),
drawn when it is asked for; `save(path)` writes it, and notebooks show it.
"""

from __future__ import annotations

from rushlight.inspect.activations import (ActivationMaps, Distributions, activation_distributions, activation_maps,
                                           record)
from rushlight.inspect.attribution import Attribution, grad_cam, saliency
from rushlight.inspect.health import Health, health
from rushlight.inspect.weights import Filters, WeightHistograms, filters, weight_histograms

__all__ = ["ActivationMaps", "Attribution", "Distributions", "Filters", "Health", "WeightHistograms",
           "activation_distributions", "activation_maps", "filters",
           "grad_cam", "health", "record", "saliency", "weight_histograms"]
