"""Contracts and source mappings, shipped as package data."""
