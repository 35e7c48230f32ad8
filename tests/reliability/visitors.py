"""Visitors of the page without a browser: they ask for what it asks for. pytest collects nothing here."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from typing import Any

import httpx

SECONDS = 300


class Visitor:
    """One who has the page open: `await Visitor.open(address)`.

    Attributes: key, by which the page finds the visitor's work again.
    """

    def __init__(self, client: httpx.AsyncClient, page: dict[str, Any]) -> None:
        self.client, self.session, self.key = client, secrets.token_hex(8), ""
        self._components = {each["id"]: each["props"] for each in page["components"]}
        self._events = {
            (self._name(target[0]), target[1]): each
            for each in page["dependencies"]
            for target in each["targets"]
        }

    def _name(self, number: int) -> str | None:
        return self._components.get(number, {}).get("elem_id")

    @classmethod
    async def open(cls, address: str, key: str = "") -> Visitor:
        client = httpx.AsyncClient(base_url=address, timeout=SECONDS)
        visitor = cls(client, (await client.get("/config")).json())
        visitor.key = (await visitor._ask(visitor._events[None, "load"], [key, ""], None))[1]
        return visitor

    async def does(self, name: str, event: str, data: Any = None, **values: Any) -> dict[str, Any]:
        """Has an event of a component happen; by component, what the page shows then, and under "error" a failure.

        values: by component, with "_" for "-"; all others are as the page came.
        """
        values = {key.replace("_", "-"): value for key, value in values.items()}
        happens = self._events[name, event]
        given = [
            values.get(self._name(number) or "", self._components[number].get("value"))
            for number in happens["inputs"]
        ]
        shown = await self._ask(happens, [None, *given[1:]], data)
        if len(shown) != len(happens["outputs"]):
            return {"error": shown}
        return {self._name(number) or str(number): value for number, value in zip(happens["outputs"], shown)}

    async def _ask(self, happens: dict[str, Any], given: list[Any], data: Any) -> list[Any]:
        asked = {
            "fn_index": happens["id"], "data": given, "session_hash": self.session, "event_data": data,
            "trigger_id": None,
        }  # fmt: skip
        answer = await self.client.post("/gradio_api/queue/join", json=asked)
        if answer.status_code != 200:
            return [f"status {answer.status_code}"]
        number = answer.json()["event_id"]
        async with self.client.stream(
            "GET", "/gradio_api/queue/data", params={"session_hash": self.session}
        ) as said:
            async for line in said.aiter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed" and message["event_id"] == number:
                    output = message["output"]
                    return output.get("data") or [output.get("error")]
        raise AssertionError("the page said nothing")

    # ---- what a designer does ----

    async def picks(self, index: int) -> str:
        """A shoe of the wall; what the page calls it."""
        return _settled((await self.does("wall", "click", {"index": index}))["shoes-story"])

    async def drags(self, value: float) -> str:
        """The heel's slider to some millimetres; what the page calls the shoe then."""
        found = await self.does("shoes-slider-heel", "input", shoes_slider_heel=value)
        return _settled(found["shoes-story"])

    async def looks(self) -> str:
        """Loads the page anew; what it calls the shoe that is there, "" where there is none."""
        happens = self._events[None, "load"]
        shown = await self._ask(happens, [self.key, ""], None)
        told = dict(zip(map(self._name, happens["outputs"]), shown))["shoes-story"]
        return _settled(told) if isinstance(told, str) else ""

    async def uploads(self, content: Any, name: Any, to: str = "photo-file") -> str:
        """A file, or what stands for its content; all that the page says then."""
        data = base64.b64encode(content).decode() if isinstance(content, bytes) else content
        return json.dumps(await self.does(to, "upload", **{to: {"name": name, "data": data}}))

    async def leaves(self) -> None:
        await self.client.aclose()


def _settled(story: str) -> str:
    """Without what is still being done."""
    return story.split(" <i>")[0]


async def together(visits: list[Any]) -> list[Any]:
    return await asyncio.gather(*visits)
