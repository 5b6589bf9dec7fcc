"""Sliders for the notebooks: each is a pure ``render`` function, controls, and a picture.

``panel.Panel`` joins them; ``crops``, ``erasure`` and ``photos`` are chapters 02, 03 and 09.
"""
