"""What Python code asks for by `lit_ae.NAME`: trained models, data, runs, and tests across seeds."""
