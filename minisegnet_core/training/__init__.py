"""Training: from a data set on disk to a checkpoint.

A batch goes from disk to the loss through four files:

1. ``data/reader.py`` reads an image and its labels, decoded or from the cache that ``data/cache.py`` makes;
2. ``data/loader.py`` reduces labels to the label grid and stacks samples to batches;
3. ``data/augmentation.py`` changes image and labels at random on the way;
4. ``loop.py`` normalizes the batch, runs the network, and takes the optimizer step on the loss of ``losses.py``.

``trainer.py`` is the outer loop over stages and epochs. It works on a ``TrainingContext`` (``context.py``), which does
not change during a training, and on one ``Stage`` (``stage.py``) after the other.
"""
