"""The control plane over HTTP, under `/api/v1`: wire contract of docs/control-plane.md."""
