"""Bring a control plane to what a file declares: plan, apply, and take back what did not work out."""
