"""Errors outside a handler's own: routes, methods, forms, defects, ids of requests."""

from unittest.mock import patch

import pytest

from tests.service.api_service import serving


async def test_an_unknown_route_answers_in_the_contracts_shape() -> None:
    async with serving() as served:
        answer = await served.client.get("/v1/nothing")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "stored" not in answer.json()


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("GET", "/v1/chat", "POST"), ("DELETE", "/livez", "GET")]
)
async def test_a_wrong_method_is_told_the_right_one(method: str, path: str, allowed: str) -> None:
    async with serving() as served:
        answer = await served.client.request(method, path)

    assert (answer.status_code, answer.json()["code"]) == (405, "invalid_input")
    assert answer.headers["allow"] == allowed
    assert allowed in answer.json()["detail"]


async def test_a_form_that_cannot_be_given_is_refused_before_anything_is_stored() -> None:
    async with serving() as served:
        answer = await served.client.post("/v1/chat", json={"message": "hi"}, headers={"Accept": "text/html"})

    assert (answer.status_code, answer.json()["code"]) == (406, "invalid_input")
    assert "application/json" in answer.json()["detail"]
    assert served.turns.submitted == []


@pytest.mark.parametrize(
    ("given", "is_kept"), [("abc-123", True), ("x" * 129, False), ("a b", False), ("", False)]
)
async def test_a_sane_request_id_is_echoed_and_any_other_replaced(given: str, is_kept: bool) -> None:
    async with serving() as served:
        answer = await served.client.get("/livez", headers={"X-Request-ID": given})

    assert (answer.headers["x-request-id"] == given) is is_kept
    assert answer.headers["x-request-id"]


async def test_a_defect_is_answered_and_logged_without_its_text() -> None:
    defect = RuntimeError("SELECT secret FROM customers WHERE text = 'my message'")

    async with serving() as served:
        with patch.object(served.turns, "submit", side_effect=defect):
            answer = await served.client.post("/v1/chat", json={"message": "my message"})

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (500, "internal_error")
    assert problem["stored"] is False
    assert "SELECT" not in answer.text
    assert "Traceback" not in answer.text
    (event,) = [each for each in served.log.events if each["event"] == "http.crashed"]
    assert event["error"] == "RuntimeError"
    assert event["request_id"] == problem["request_id"]
    assert "my message" not in repr(served.log.events)


async def test_requests_are_counted_by_route_and_status() -> None:
    async with serving() as served:
        await served.client.post("/v1/chat", json={"message": "hi"})
        await served.client.get("/v1/conversations/conv_secret")
        metrics = (await served.client.get("/metrics")).text

    assert 'careline_http_requests_total{method="POST",route="/v1/chat",status="200"} 1.0' in metrics
    assert 'route="/v1/conversations/{conversation_id}",status="404"' in metrics
    assert "conv_secret" not in metrics


async def test_every_error_code_has_words_of_its_own() -> None:
    from agent.api.problems import problem_of
    from core import errors

    leaves = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.CarelineError)
    ]

    for leaf in leaves:
        exc = leaf("sql") if issubclass(leaf, errors.DependencyError) else leaf("said by us")
        problem = problem_of(exc)
        document = problem.document(request_id="r", stored=None)
        assert all(document[name] for name in ("title", "detail", "user_action"))
        if not isinstance(
            exc, errors.InvalidInput | errors.TooLarge | errors.AuthenticationFailed | errors.PermissionDenied
        ):
            assert "said by us" not in document["detail"]
            assert "sql" not in document["detail"]


async def test_every_route_announces_what_the_layers_around_it_may_answer() -> None:
    async with serving() as served:
        document = (await served.client.get("/openapi.json")).json()

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert {"403", "405", "500"} <= set(operation["responses"]), f"{method} {path}"
