"""Fuzz targets: any bytes give a value or one of our errors, nothing else. ``python -m fuzz --list``."""
