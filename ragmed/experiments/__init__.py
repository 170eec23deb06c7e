"""Experiments: a YAML file -> a frozen Experiment (`config`), and the Experiment carried out (`trial`)."""
