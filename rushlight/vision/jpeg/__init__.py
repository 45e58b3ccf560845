"""A decoder of ordinary JPEG files, compiled: only the window that is asked for is transformed and coloured.

Baseline JPEGs of three components (T.81), one scan, brightness sampled 1×1, 2×1 or 2×2 times as densely as colour: what
cameras and `Image.save` write. Its pixels are libjpeg-turbo's default ones (exact integer transform, "fancy" upsampling), byte
for byte. Everything else, and every file with damage, is Pillow's.
"""
