"""Expressions and spectral indices over the bands of a scene."""
