"""Vectors of the nodes of graphs, hypergraphs and graphs of several relations."""
