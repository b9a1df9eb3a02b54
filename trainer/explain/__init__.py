"""Heatmaps that explain a finished run's model."""
