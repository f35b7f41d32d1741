"""What a training step reads: the order of samples, views of them, and batches made ahead."""
