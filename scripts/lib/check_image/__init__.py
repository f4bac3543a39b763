"""Builds and runs the images of Dockerfile.gpu; see scripts/check-image."""
