"""The test pass and what all scores share: the scored samples, their codes, fitted samplers and generated images."""
