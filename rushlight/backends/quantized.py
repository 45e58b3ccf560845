"""torch.backends.quantized: integer kernels run through oneDNN; programs that name another engine get the same."""

engine, supported_engines = "x86", ["qnnpack", "onednn", "x86", "fbgemm"]
