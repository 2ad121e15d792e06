"""A chat model that needs no network: it reads what it should say off the question."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, ToolMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

CITIES = ["Oslo", "Rome", "Atlantis"]


class ScriptedModel(BaseChatModel):
    """Asks for the weather of each city in the question, and then tells it, word by word.

    A question with "break off" in it ends its stream with an error.
    """

    pace: float = 0.08
    """Seconds between two words."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _pieces(self, messages: list[BaseMessage]) -> Iterator[AIMessageChunk]:
        question = next(str(m.content) for m in messages if m.type == "human")
        results = [m for m in messages if isinstance(m, ToolMessage)]
        if results:
            said = "It is " + " and ".join(str(m.content) for m in results) + "."
            calls = []
        else:
            said = "Let me look."
            calls = [city for city in CITIES if city in question]
        for i, word in enumerate(said.split(" ")):
            time.sleep(self.pace)
            yield AIMessageChunk(content=word if i == 0 else f" {word}")
            if i == 1 and "break off" in question:
                raise ConnectionError("the model's server closed the connection")
        for i, city in enumerate(calls):
            call = {"name": "weather", "args": f'{{"city":"{city}"}}', "id": f"call-{i}", "index": i}
            yield AIMessageChunk(content="", tool_call_chunks=[call])
        tokens = {"input_tokens": 40 + 12 * len(results), "output_tokens": len(said.split(" ")) + 8 * len(calls)}
        yield AIMessageChunk(
            content="",
            usage_metadata={**tokens, "total_tokens": sum(tokens.values())},
            response_metadata={"finish_reason": "tool_calls" if calls else "stop", "model_name": "scripted"},
        )

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for piece in self._pieces(messages):
            chunk = ChatGenerationChunk(message=piece)
            if run_manager:
                run_manager.on_llm_new_token(str(piece.content), chunk=chunk)
            yield chunk

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        first, *rest = self._pieces(messages)
        whole: Any = first
        for piece in rest:
            whole = whole + piece
        return ChatResult(generations=[ChatGeneration(message=message_chunk_to_message(whole))])
