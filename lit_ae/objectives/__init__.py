"""What training minimises: likelihoods, divergences, penalties, corruptions, and schedules of weights."""
