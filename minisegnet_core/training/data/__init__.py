"""Batches for training: reading and caching samples, augmentation, loaders. Uses PyTorch."""
