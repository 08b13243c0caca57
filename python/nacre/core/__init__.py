"""Values, ops, graphs and gradients: records and differentiates, knows nothing of layers or kernels."""
