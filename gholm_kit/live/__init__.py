"""``gholm live``: the paper as one HTML file that runs a network in the browser.

``build`` puts the file together from the graph of ``gholm_kit.export``, the runtime (``runtime``), the tour
(``tour``) and the scripts in ``page/``.
"""
