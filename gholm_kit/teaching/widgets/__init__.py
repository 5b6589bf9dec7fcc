"""Sliders for the notebooks: each is a pure ``render`` function, controls, and a picture.

``common.Panel`` joins them; ``crops`` and ``erasure`` are chapters 02 and 03.
"""
