"""The errors that the document's program catches."""

import httpx


class AtlasAPIError(Exception):
    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"{response.status_code}: {response.text}")
        self.response = response


class AtlasRateLimitError(AtlasAPIError):
    def __init__(self, response: httpx.Response, retry_after: float | None) -> None:
        super().__init__(response)
        self.retry_after = retry_after


class AtlasTimeoutError(Exception):
    pass
