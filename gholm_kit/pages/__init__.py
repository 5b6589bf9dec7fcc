"""Pages and decks from executed notebooks. They open from a folder, with no network and no server.

``render`` turns cells into HTML, ``site`` makes pages with an index, ``deck`` makes slides;
:mod:`gholm_kit.pages.execute` runs the notebooks that they are made from.
"""
