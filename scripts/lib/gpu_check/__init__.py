"""What scripts/gpu-check and scripts/gpu-pack do."""
