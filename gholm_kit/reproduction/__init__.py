"""The paper's tables, figures and open questions from one command: which runs they need (``grid``, ``ledger``),
making them (``run``), the paper's numbers beside the measured ones (``paper``, ``verdicts``, ``claims``)."""
