"""Baselines that can be compared: the same network, weights, order and crops, trained with different labels."""
