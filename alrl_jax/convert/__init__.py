"""Weights of other projects in our layout: safe readers, rule tables, and the engine between.

``readers`` turn files into ``networks``.  ``families`` say how a network is known (``format``), of
which architecture it is (``shapes``) and where its tensors go (``rules``, ``same_names``).  The
engine asks ``joining`` and ``finding`` for a network and converts it; ``export`` goes the way back,
by what the families say of it (``target``).  What is wrong with a file is said by ``faults``.
"""
