"""Drawings of what a report measured."""
