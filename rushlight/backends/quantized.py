"""torch.backends.quantized: there are no quantized engines."""

engine, supported_engines = "none", ["none"]
