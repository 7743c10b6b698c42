"""What every layer speaks: errors, ids, time, messages, settings, telemetry, resilience. Uses nothing of ours."""
