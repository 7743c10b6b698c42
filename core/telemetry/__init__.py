"""What happened, told to operators: structured logs, metrics, redaction."""
