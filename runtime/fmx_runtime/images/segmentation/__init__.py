"""The parts of the garment segmentation, see `fmx_runtime.images.garment_segmentation`."""
