"""
A client of Careline: chat, streams that resume, conversations and the control plane.

```python
from careline_client import Careline

with Careline("http://127.0.0.1:8000") as careline:
    print(careline.chat.say("How long does delivery take?")["reply"]["text"])
```
"""

from careline_client.async_client import AsyncCareline
from careline_client.client import Careline
from careline_client.errors import (
    APIError,
    AuthenticationError,
    CarelineError,
    ConflictError,
    ConnectionError,
    DeploymentFailedError,
    FieldError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RolledBackError,
    ServerError,
    StreamError,
    TimeoutError,
    ValidationError,
)
from careline_client.events import Event
from careline_client.hooks import Call, Hook, OpenTelemetryHook
from careline_client.plane import Creation
from careline_client.retries import NO_RETRIES, RetryPolicy

__all__ = [
    "NO_RETRIES",
    "APIError",
    "AsyncCareline",
    "AuthenticationError",
    "Call",
    "Careline",
    "CarelineError",
    "ConflictError",
    "ConnectionError",
    "Creation",
    "DeploymentFailedError",
    "Event",
    "FieldError",
    "Hook",
    "NotFoundError",
    "OpenTelemetryHook",
    "PermissionDeniedError",
    "RateLimitError",
    "RetryPolicy",
    "RolledBackError",
    "ServerError",
    "StreamError",
    "TimeoutError",
    "ValidationError",
]
