"""What is looked at before a brain answers and before its answer leaves."""
