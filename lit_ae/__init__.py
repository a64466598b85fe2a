"""Autoencoder families compared: Lightning, MLflow, and honest statistics."""
