"""Trains, judges and explains classifiers of chest radiographs (research use only)."""
