"""The paper's tables, figures and open questions from one command: which runs they need (``jobs``, ``questions``),
making them (``make``), the measured numbers beside the paper's (``paper_tables``, ``verdicts``, ``claims``)."""
