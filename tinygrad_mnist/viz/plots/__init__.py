"""Plots of inputs and outputs: curves, images, maps."""
