"""Secrets, at rest and on their way to an executor, and signatures of images. Only this imports `cryptography`."""
