"""
The chat window in a real Chromium, against a service that keeps the contract and misbehaves on request.
"""
