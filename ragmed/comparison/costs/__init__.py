"""What a run spent and what its machine charges in, costs per question and where tuning breaks even out."""
