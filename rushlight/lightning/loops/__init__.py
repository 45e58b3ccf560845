"""The loops of the Trainer: over epochs, over batches, over evaluation and prediction data."""
