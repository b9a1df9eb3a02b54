"""Trains, judges and explains classifiers of chest radiographs (research use only)."""

from cxr_command import quiet_import

quiet_import.install()
