"""
The wire contract once more, through the library: what is on the wire is what its methods return and raise.

Left to raw HTTP are bodies that are no JSON, which the library cannot send, and the tests that bring a client of their own.
"""

from tests.client.driver import LibraryDriver
from tests.control.plane import Plane
from tests.control.test_contract import *  # noqa: F403 - every test of the contract

del test_what_cannot_be_read_is_a_422_with_a_list  # noqa: F821
del test_keys_are_asked_for_where_there_are_some  # noqa: F821
del test_a_customer_is_not_let_in  # noqa: F821


async def test_the_contract_is_asked_for_by_the_librarys_own_methods(plane: Plane) -> None:
    made = await plane.create("agent-classes")
    await plane.client.patch(f"/agent-classes/{made['id']}", json={"description": "kind"})
    await plane.client.get("/agent-classes?limit=1")
    await plane.client.delete(f"/agent-classes/{made['id']}")

    driver: object = plane.client
    assert isinstance(driver, LibraryDriver)
    assert driver.counted == 4
