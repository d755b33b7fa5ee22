"""Inputs that lie on other machines: from where they may come, how they come, and where they are kept."""
