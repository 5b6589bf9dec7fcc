"""Interactive figures for the notebooks: each is a pure ``render`` function and some controls.

``panel.Panel`` connects the two; ``crops``, ``erasure`` and ``photos`` belong to chapters 02, 03 and 09. ``sliders``
makes what pages and slides need to move the sliders of 02 and 03 without a running notebook.
"""
