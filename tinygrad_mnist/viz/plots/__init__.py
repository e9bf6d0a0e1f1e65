"""Plots of what goes in and comes out: curves, images, maps."""
