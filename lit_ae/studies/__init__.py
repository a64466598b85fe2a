"""Studies: experiments/NAME.yaml expanded into jobs, and jobs done as runs."""
