"""The engines that do a study's runs: worker processes of this machine, or a Ray cluster."""
