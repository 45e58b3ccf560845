"""What rushlight.vision.utils offers, one concept per module."""
