"""The state protocol on virtual time: many replicas, every fault, one seed."""
