"""Vectors of entities and relations of knowledge graphs."""
