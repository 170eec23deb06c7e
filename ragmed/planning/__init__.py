"""What a trial can show and what it costs, before anything is spent."""
