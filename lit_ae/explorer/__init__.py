"""The latent explorer: a page on which the codes of trained models are looked at, moved and decoded."""
