"""torch.ao: quantization of networks, and the layers of quantized networks."""
